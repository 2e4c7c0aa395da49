# SPDX-License-Identifier: Apache-2.0
# Completion of portcullis(8) for fish: commands, their options, files.
set -l commands serve check print explain schema audit healthcheck version
set -l none "not __fish_seen_subcommand_from $commands"

complete -c portcullis -n $none -f
complete -c portcullis -n $none -a serve -d 'Stand in front of the MCP servers of the policy'
complete -c portcullis -n $none -a check -d 'Check a policy file without starting anything'
complete -c portcullis -n $none -a print -d 'Print the effective policy'
complete -c portcullis -n $none -a explain -d 'Say what would happen to a call, and why'
complete -c portcullis -n $none -a schema -d 'Print the JSON Schema of the policy file'
complete -c portcullis -n $none -a audit -d 'Check the chain of an audit log'
complete -c portcullis -n $none -a healthcheck -d 'Ask the admin address whether the process lives'
complete -c portcullis -n $none -a version -d 'Print the version and those of the libraries'
complete -c portcullis -n $none -l version -d 'Print the version'
complete -c portcullis -l help -d Usage

set -l explain '__fish_seen_subcommand_from explain'
complete -c portcullis -n $explain -l token-file -r -F -d 'The access token'
complete -c portcullis -n $explain -l call -x -d 'METHOD or METHOD:NAME' \
    -a 'initialize tools/list tools/call prompts/get resources/read'
complete -c portcullis -n $explain -l jwks -r -F -d 'The issuer\'s keys'
complete -c portcullis -n $explain -l route -x -d 'Resource of the route'
complete -c portcullis -n $explain -l time -x -d 'As if it were then'
complete -c portcullis -n $explain -l json -d 'One JSON object for programs'

set -l audit '__fish_seen_subcommand_from audit'
complete -c portcullis -n "$audit; and not __fish_seen_subcommand_from verify" -f -a verify
complete -c portcullis -n $audit -l head -x -d 'Hash that must be in the chain'
complete -c portcullis -n '__fish_seen_subcommand_from schema version' -f
