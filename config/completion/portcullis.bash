# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of portcullis(8) for bash: commands, their options, files.

_portcullis_words() {
    local IFS=$'\n'
    # shellcheck disable=SC2207 # one word a line, and none has a blank
    COMPREPLY=($(compgen -W "$(printf '%s\n' "${@:2}")" -- "$1"))
}

_portcullis_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_portcullis() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        _portcullis_words "$word" serve check print explain schema audit healthcheck version \
            --help --version
        return
    fi
    case $before in
        --call)
            _portcullis_words "$word" initialize tools/list tools/call prompts/list prompts/get \
                resources/list resources/read completion/complete
            return
            ;;
        --route | --time | --head) return ;;
    esac
    case $command:$word in
        explain:-*)
            _portcullis_words "$word" --token-file --call --jwks --route --time --json --help
            ;;
        audit:-*) _portcullis_words "$word" --head --help ;;
        *:-*) _portcullis_words "$word" --help ;;
        audit:*)
            if [[ $COMP_CWORD -eq 2 ]]; then
                _portcullis_words "$word" verify
            else
                _portcullis_files "$word"
            fi
            ;;
        schema:* | version:*) ;;
        *) _portcullis_files "$word" ;;
    esac
}

complete -F _portcullis portcullis
