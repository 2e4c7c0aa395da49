#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes json-bodies.json beside this file (--check: only compares). The bodies are good ones, which
// must pass byte for byte, and such as are built to be read differently by different parsers; the
// unit test of proto/mcp and the integration tests read the same list.
//
// A row: {id, group, why, body, expect, reason?, calls?}. BODY is base64, or an array of
// [base64, times]. EXPECT:
//   pass    well-formed, and a policy that allows the tool "echo" alone lets it through
//   deny    well-formed, and that policy refuses it
//   refuse  not well-formed, for the REASON of mcp_rc_name()
// CALLS of a body that is well-formed: [method, name or null] for each request and notification.
import { readFileSync, writeFileSync } from 'node:fs';

const MODERN_KEY = 'io.modelcontextprotocol/protocolVersion';
const rows = [];

// A body is a Buffer, a string (UTF-8), or an array of such and of [such, times].
const toBase64 = (part) => Buffer.from(part).toString('base64');
function toBody(body) {
    if (!Array.isArray(body)) return toBase64(body);
    return body.map((part) => (Array.isArray(part) ? [toBase64(part[0]), part[1]]
        : [toBase64(part), 1]));
}

let group = '';
const section = (name) => (group = name);
function add(expect, why, body, more) {
    rows.push({ group, why, body: toBody(body), expect, ...more });
}
const refuse = (reason, why, body) => add('refuse', why, body, { reason });
const malformed = (why, body) => refuse('not_json', why, body);
const duplicate = (why, body) => refuse('duplicate_key', why, body);
const folded = (why, body) => refuse('ambiguous_key', why, body);
const pass = (why, body, ...calls) => add('pass', why, body, { calls });
const deny = (why, body, ...calls) => add('deny', why, body, { calls });
const ECHO = ['tools/call', 'echo'];
const echoes = (why, body) => pass(why, body, ECHO);

const latin1 = (text) => Buffer.from(text, 'latin1');
const utf8 = (text) => Buffer.from(text, 'utf8');
// All of PARTS as bytes; strings are UTF-8.
const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));

// A message around members as text, a call around params as text.
const message = (members) => `{"jsonrpc":"2.0",${members}}`;
const request = (method, params) =>
    message(`"id":1,"method":"${method}"${params === undefined ? '' : `,"params":${params}`}`);
const call = (params) => request('tools/call', params);
const echo = (more = '') => call(`{"name":"echo"${more}}`);
// VALUE as an argument of the tool.
const argument = (value) => echo(`,"arguments":{"x":${value}}`);
const ARGUMENT = argument('@').split('@');
const around = (value) => bytes(ARGUMENT[0], value, ARGUMENT[1]);

// ---- good bodies -----------------------------------------------------------------------------

section('good');
echoes('a call', echo(',"arguments":{"message":"hi"}'));
echoes('arguments of every kind',
    echo(',"arguments":{"a":[1,-2.5,1e3,true,false,null,"x",{}],"b":{"c":{"d":[]}}}'));
echoes('progress token', echo(',"_meta":{"progressToken":"p-1"}'));
echoes('members in another order',
    '{"params":{"arguments":{},"name":"echo"},"method":"tools/call","id":"a","jsonrpc":"2.0"}');
echoes('blanks in every place',
    ' \t\r\n{ "jsonrpc" : "2.0" ,\n"id" : 1 , "method" : "tools/call" , "params" : { "name" :\r\n' +
    '"echo" , "arguments" : { } } }\n\n ');
echoes('indented', JSON.stringify(JSON.parse(echo(',"arguments":{"a":[1,2]}')), null, 4));
echoes('an id that is text', message('"id":"α/1","method":"tools/call","params":{"name":"echo"}'));
echoes('an id of zero', message('"id":0,"method":"tools/call","params":{"name":"echo"}'));
echoes('a negative id', message('"id":-1,"method":"tools/call","params":{"name":"echo"}'));
echoes('the largest id',
    message('"id":9007199254740991,"method":"tools/call","params":{"name":"echo"}'));
echoes('no arguments', echo());
echoes('more members of the message', message(
    '"id":1,"method":"tools/call","params":{"name":"echo"},"x":{"method":"tools/call"}'));
echoes('more members of the params', echo(',"task":{"ttl":60000},"x":{"name":"add"}'));
echoes('names inside of the arguments', echo(
    ',"arguments":{"name":"add","method":"tools/list","params":{"name":"add"},"uri":"x:"}'));
echoes('a call inside of a string', argument(JSON.stringify(call('{"name":"add"}'))));
echoes('text of many scripts', argument('"Grüße, Γειά, Привет, שלום, 你好, 👩‍👩‍👧‍👧"'));
echoes('an older revision in _meta, as a progress token', echo(
    ',"_meta":{"progressToken":1,"example.com/protocolVersion":"2026-07-28"}'));
echoes('a notification that calls the tool',
    message('"method":"tools/call","params":{"name":"echo"}'));
for (const method of ['ping', 'tools/list', 'prompts/list', 'resources/list',
    'resources/templates/list', 'server/discover'])
    pass(method, request(method), [method, null]);
pass('a list with a cursor', request('tools/list', '{"cursor":"abc"}'), ['tools/list', null]);
pass('initialize', request('initialize',
    '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}'),
['initialize', null]);
pass('initialized', message('"method":"notifications/initialized"'),
    ['notifications/initialized', null]);
pass('cancelled', message('"method":"notifications/cancelled","params":{"requestId":1}'),
    ['notifications/cancelled', null]);
pass('a result', message('"id":7,"result":{"roots":[]}'));
pass('an error', message('"id":7,"error":{"code":-1,"message":"x"}'));
pass('an error for an unknown request', message('"id":null,"error":{"code":-1,"message":"x"}'));
pass('subscriptions without resources', request('subscriptions/listen',
    '{"notifications":{"toolsListChanged":true}}'), ['subscriptions/listen', null]);
deny('another tool', call('{"name":"add"}'), ['tools/call', 'add']);
deny('a prompt', request('prompts/get', '{"name":"echo"}'), ['prompts/get', 'echo']);
deny('a resource', request('resources/read', '{"uri":"file:///etc"}'),
    ['resources/read', 'file:///etc']);
deny('a completion', request('completion/complete', '{"ref":{"type":"ref/prompt","name":"echo"}}'),
    ['completion/complete', 'echo']);
deny('subscriptions to resources', request('subscriptions/listen',
    '{"notifications":{"resourceSubscriptions":["a:","b:"]}}'),
['subscriptions/listen', 'a:'], ['subscriptions/listen', 'b:']);
deny('a method that nobody knows', request('x/y', '{"name":"echo"}'), ['x/y', null]);

// ---- duplicate keys --------------------------------------------------------------------------

section('duplicates');
const MEMBERS = {
    jsonrpc: '"2.0"', id: '1', method: '"tools/call"', params: '{"name":"echo"}',
};
const OTHERS = { jsonrpc: '"1.0"', id: '2', method: '"tools/list"', params: '{"name":"add"}' };
const escapeFirst = (key) => `\\u${key.charCodeAt(0).toString(16).padStart(4, '0')}${key.slice(1)}`;
const escapeAll = (key) => [...key].map((c) => escapeFirst(c)).join('');
for (const key of Object.keys(MEMBERS)) {
    const members = Object.entries(MEMBERS).map(([k, v]) => `"${k}":${v}`).join(',');
    duplicate(`${key} twice, another one last`, `{${members},"${key}":${OTHERS[key]}}`);
    duplicate(`${key} twice, another one first`, `{"${key}":${OTHERS[key]},${members}}`);
    duplicate(`${key} twice, escaped`, `{${members},"${escapeFirst(key)}":${OTHERS[key]}}`);
}
duplicate('method twice, all of it escaped',
    `{"${escapeAll('method')}":"tools/list",${echo().slice(1)}`);
duplicate('the same member twice', message('"id":1,"method":"ping","method":"ping"'));
duplicate('name twice', call('{"name":"echo","name":"add"}'));
duplicate('name twice, the other one first', call('{"name":"add","name":"echo"}'));
duplicate('name twice, escaped', call('{"name":"echo","n\\u0061me":"add"}'));
duplicate('name twice, escaped first', call('{"\\u006e\\u0061me":"add","name":"echo"}'));
duplicate('name twice, arguments between',
    call('{"name":"echo","arguments":{"a":[1,{"name":1}]},"name":"add"}'));
duplicate('arguments twice', echo(',"arguments":{},"arguments":{"x":1}'));
duplicate('_meta twice', echo(',"_meta":{},"_meta":{}'));
duplicate('the revision twice', echo(
    `,"_meta":{"${MODERN_KEY}":"2026-07-28","${MODERN_KEY}":"2025-11-25"}`));
duplicate('the revision twice, a slash escaped', echo(
    `,"_meta":{"${MODERN_KEY}":"2026-07-28","${MODERN_KEY.replace('/', '\\/')}":"2025-11-25"}`));
duplicate('inside of the arguments', echo(',"arguments":{"a":1,"a":2}'));
duplicate('deep inside of the arguments', echo(',"arguments":{"l":[0,{"b":{"a":1,"\\u0061":2}}]}'));
duplicate('empty keys', echo(',"arguments":{"":1,"":2}'));
duplicate('keys of other scripts', echo(',"arguments":{"ключ":1,"ключ":2}'));
duplicate('a pair and its character', echo(',"arguments":{"😀":1,"\\ud83d\\ude00":2}'));
duplicate('digits of an escape in two cases', echo(',"arguments":{"\\u00E9":1,"\\u00e9":2}'));
duplicate('an escaped slash', echo(',"arguments":{"a/b":1,"a\\/b":2}'));
duplicate('short and long escapes', echo(',"arguments":{"\\n":1,"\\u000a":2}'));
duplicate('__proto__ twice', echo(',"arguments":{"__proto__":1,"__proto__":2}'));
duplicate('constructor twice', echo(',"constructor":1,"constructor":2'));
duplicate('long keys', echo(`,"arguments":{"${'k'.repeat(5000)}":1,"${'k'.repeat(5000)}":2}`));
duplicate('among 1000 keys', echo(`,"arguments":{${
    Array.from({ length: 1000 }, (_, i) => `"k${i}":${i}`).join(',')},"k500":0}`));
duplicate('in the result of a response', message('"id":1,"result":{"a":1,"a":2}'));
duplicate('in a message of a batch', `[${echo()},${message('"id":2,"id":3,"method":"ping"')}]`);
echoes('the same key in two objects', echo(',"arguments":{"a":{"a":{"a":1}},"b":{"a":1}}'));
echoes('keys that look alike',
    echo(',"arguments":{"\u00e9":1,"e\u0301":2,"a":3,"\u0430":4,"a ":5}'));
echoes('keys in two cases in the arguments', echo(',"arguments":{"key":1,"KEY":2,"Name":3}'));

// ---- NUL -------------------------------------------------------------------------------------

section('nul');
for (const key of ['method', 'params', 'id', 'jsonrpc'])
    malformed(`escaped at the end of the key ${key}`, `${echo().slice(0, -1)},"${key}\\u0000":"x"}`);
malformed('escaped in the key name', call('{"name":"echo","name\\u0000":"add"}'));
malformed('escaped in a key of the arguments', echo(',"arguments":{"a\\u0000b":1}'));
malformed('a key that is only NUL', echo(',"arguments":{"\\u0000":1}'));
refuse('bad_params', 'escaped behind the name', call('{"name":"echo\\u0000"}'));
refuse('bad_params', 'escaped in the name', call('{"name":"echo\\u0000add"}'));
refuse('bad_params', 'escaped before the name', call('{"name":"\\u0000echo"}'));
refuse('bad_method', 'escaped behind the method', request('ping\\u0000', '{}'));
refuse('not_jsonrpc', 'escaped behind the version', '{"jsonrpc":"2.0\\u0000","id":1,"method":"ping"}');
echoes('escaped in an argument', argument('"a\\u0000b"'));
malformed('raw in an argument', around('"a\0b"'));
malformed('raw in the name', call('{"name":"echo\0"}'));
malformed('raw in a key', echo(',"a\0":1'));
malformed('raw behind the body', `${echo()}\0`);
malformed('raw before the body', `\0${echo()}`);
malformed('raw behind a number', argument('1\0'));
malformed('raw behind a word', argument('true\0'));
malformed('raw as a blank', echo('\0,"a":1'));
malformed('raw, and another body behind it', `${echo()}\0${call('{"name":"add"}')}`);

// ---- surrogates ------------------------------------------------------------------------------

section('surrogates');
for (const [why, text] of [['high', '\\ud83d'], ['low', '\\ude00'], ['reversed', '\\ude00\\ud83d'],
    ['two high', '\\ud83d\\ud83d'], ['high and a letter', '\\ud83dx'],
    ['high and an escaped letter', '\\ud83d\\u0041'], ['high and a line end', '\\ud83d\\n'],
    ['high and half an escape', '\\ud83d\\ude0'], ['first high', '\\ud800'], ['last low', '\\uDFFF'],
    ['a pair and a low', '\\ud83d\\ude00\\ude00'], ['high and a raw character', '\\ud83d😀']])
    malformed(`lone in an argument: ${why}`, argument(`"${text}"`));
malformed('lone in the name', call('{"name":"echo\\ud800"}'));
malformed('lone in the method', request('ping\\udfff'));
malformed('lone in a key', echo(',"arguments":{"\\ud800":1}'));
malformed('two lone ones as keys', echo(',"arguments":{"\\ud800":1,"\\ud801":2}'));
malformed('lone in the id', message('"id":"\\ud83d","method":"ping"'));
malformed('as UTF-8', around(latin1('"\xed\xa0\xbd\xed\xb8\x80"')));
malformed('half of it as UTF-8', around(latin1('"\xed\xa0\x80"')));
malformed('half as an escape, half as UTF-8', around(latin1('"\\ud83d\xed\xb8\x80"')));
echoes('a pair', argument('"\\ud83d\\ude00"'));
echoes('a pair in capitals', argument('"\\uD83D\\uDE00"'));
deny('a pair in the name', call('{"name":"echo\\ud83d\\ude00"}'), ['tools/call', 'echo😀']);

// ---- UTF-8 and others ------------------------------------------------------------------------

section('encoding');
for (const [why, text] of [['an overlong slash', '\xc0\xaf'], ['an overlong NUL', '\xc0\x80'],
    ['an overlong quote', '\xc0\xa2'], ['an overlong letter', '\xc1\xa1'],
    ['overlong in three bytes', '\xe0\x80\xaf'], ['overlong in four bytes', '\xf0\x80\x80\xaf'],
    ['overlong in five bytes', '\xf8\x80\x80\x80\xaf'],
    ['overlong in six bytes', '\xfc\x80\x80\x80\x80\xaf'], ['a continuation', '\x80'],
    ['two continuations', '\xbf\xbf'], ['cut off, 2', '\xc3'], ['cut off, 3', '\xe2\x82'],
    ['cut off, 4', '\xf0\x9f\x98'], ['above U+10FFFF', '\xf4\x90\x80\x80'],
    ['lead byte F5', '\xf5\x80\x80\x80'], ['FE', '\xfe'], ['FF', '\xff'],
    ['Latin-1', 'caf\xe9'], ['Windows-1252', '\x93x\x94'], ['a lead byte and a quote', '\xc3"x'],
    ['a lead byte and a backslash', '\xe2\\"']])
    malformed(`in an argument: ${why}`, around(latin1(`"${text}"`)));
malformed('an overlong name', bytes('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"',
    latin1('\xc1\xa5cho'), '"}}'));
malformed('not UTF-8 in a key', bytes(echo().slice(0, -2), latin1(',"\xff":1}}')));
malformed('not UTF-8 in the method', bytes('{"jsonrpc":"2.0","id":1,"method":"ping', latin1('\xff'),
    '"}'));
const BOM = latin1('\xef\xbb\xbf');
malformed('a byte order mark', bytes(BOM, echo()));
malformed('two byte order marks', bytes(BOM, BOM, echo()));
malformed('a byte order mark at the end', bytes(echo(), BOM));
malformed('a byte order mark inside', bytes('{', BOM, echo().slice(1)));
malformed('half a byte order mark', bytes(latin1('\xef\xbb'), echo()));
const utf16le = Buffer.from(echo(), 'utf16le');
const utf16be = Buffer.from(utf16le).swap16();
const utf32le = Buffer.concat([...echo()].map((c) => Buffer.from([c.charCodeAt(0), 0, 0, 0])));
malformed('UTF-16, little endian', utf16le);
malformed('UTF-16, big endian', utf16be);
malformed('UTF-16 with a mark, little endian', bytes(latin1('\xff\xfe'), utf16le));
malformed('UTF-16 with a mark, big endian', bytes(latin1('\xfe\xff'), utf16be));
malformed('UTF-32', utf32le);
malformed('UTF-7', echo().replaceAll('"', '+ACI-'));
echoes('U+FFFF in an argument', argument('"\uffff"'));
echoes('U+FEFF in an argument', argument('"\ufeff"'));
echoes('line separators in an argument', argument('"\u2028\u2029"'));
echoes('the last character in an argument', argument('"\u{10ffff}"'));
echoes('DEL in an argument', argument('"\x7f"'));
echoes('C1 controls in an argument', argument('"\u0085\u009f"'));
echoes('U+FFFD in an argument', argument('"\ufffd"'));
deny('an accent composed', call('{"name":"échos"}'), ['tools/call', 'échos']);

// ---- numbers ---------------------------------------------------------------------------------

section('numbers');
for (const number of ['1e999', '-1e999', '1E+999', '1e309', '1.8e308', '-1.7976931348623159e308',
    '1e99999999999', `1${'0'.repeat(309)}`, 'NaN', '-NaN', 'Infinity', '-Infinity', 'inf', '0x10',
    '0X1F', '0o17', '0b1', '01', '-01', '00', '+1', '++1', '--1', '- 1', '.5', '-.5', '1.', '1.e5',
    '1e', '1e+', '1e-', '1e1.5', 'e5', '1_000', '1,000', '1n', '1f', '1L', '1d', '0.0.1', '१', '１',
    '1e１', '1 2', '0e', '-', '~1', '1/2', '1e5e5', '$1', '0x', '1\u00a0'])
    malformed(`${number.length > 40 ? `1 and ${number.length - 1} zeros` : number}`,
        argument(number));
malformed('1025 characters', argument(`0.${'1'.repeat(1023)}`));
for (const number of ['-0', '-0.0', '0e5', '1E5', '1e-400', '1e308', '-1e308', '1.7976931348623157e308',
    '4.9e-324', '0.1e-5', '18446744073709551616', '-9223372036854775809', '9007199254740993',
    '123456789012345678901234567890', '1.0000000000000000000001', '0.1', '1E+2', '1e0000000000001'])
    echoes(`${number} in an argument`, argument(number));
echoes('1024 characters', argument(`0.${'1'.repeat(1022)}`));
for (const id of ['1.0', '1.5', '1e0', '1E2', '-0', '9007199254740992', '-9007199254740992',
    '18446744073709551617', 'null', 'true', '{}', '[]', '[1]', '{"id":1}', '0.1', '1e-400'])
    refuse('bad_id', `id ${id}`, message(`"id":${id},"method":"tools/call","params":{"name":"echo"}`));
malformed('id 1e999', message('"id":1e999,"method":"ping"'));
malformed('id 01', message('"id":01,"method":"ping"'));
refuse('not_jsonrpc', 'version 2.0 as a number', '{"jsonrpc":2.0,"id":1,"method":"ping"}');
refuse('not_jsonrpc', 'version "2"', '{"jsonrpc":"2","id":1,"method":"ping"}');
refuse('not_jsonrpc', 'version "2.00"', '{"jsonrpc":"2.00","id":1,"method":"ping"}');
refuse('not_jsonrpc', 'version ["2.0"]', '{"jsonrpc":["2.0"],"id":1,"method":"ping"}');

// ---- depth -----------------------------------------------------------------------------------

section('depth');
const LEVELS = 64; // of a body; an argument begins at the fourth
const nested = (open, close, n) =>
    [ARGUMENT[0], [open, n], '1', [close, n], ARGUMENT[1]];
echoes('arrays at the limit', nested('[', ']', LEVELS - 3));
refuse('too_deep', 'arrays past the limit', nested('[', ']', LEVELS - 2));
echoes('objects at the limit', nested('{"a":', '}', LEVELS - 3));
refuse('too_deep', 'objects past the limit', nested('{"a":', '}', LEVELS - 2));
refuse('too_deep', 'arrays, 1000 deep', nested('[', ']', 1000));
refuse('too_deep', 'arrays, 100000 deep', nested('[', ']', 100_000));
refuse('too_deep', 'objects, 100000 deep', nested('{"a":', '}', 100_000));
refuse('too_deep', 'both, 20000 deep', nested('[{"a":', '}]', 20_000));
refuse('too_deep', 'opening brackets only', [['[', 500_000]]);
refuse('too_deep', 'opening braces only', [['{"a":', 100_000]]);
malformed('closing brackets only', [[']', 1000]]);
echoes('brackets in a string', argument(`"${'['.repeat(1000)}"`));

// ---- behind and before the value -------------------------------------------------------------

section('trailing');
for (const [why, text] of [['a letter', 'x'], ['a brace', '}'], ['a bracket', ']'], ['a comma', ','],
    ['a semicolon', ';'], ['a number', '1'], ['a word', ' null'], ['an empty object', '{}'],
    ['another call', call('{"name":"add"}')], ['another call in a line', `\n${call('{"name":"add"}')}`],
    ['a comment', '//x'], ['a comment in a line', '\n// x\n'], ['a closed comment', '/**/'],
    ['a hash comment', '#x'], ['a form feed', '\f'], ['a vertical tab', '\v'],
    ['a no-break space', '\u00a0'], ['a next line', '\u0085'], ['a line separator', '\u2028'],
    ['an ideographic space', '\u3000'], ['a zero-width space', '\u200b'], ['a quote', '"'],
    ['end of transmission', '\x04'], ['an escape', '\x1b'], ['DEL', '\x7f'], ['substitute', '\x1a']])
    malformed(why, `${echo()}${text}`);
for (const [why, text] of [['a prefix against hijacking', ')]}\',\n'], ['a loop', 'while(1);'],
    ['a function', 'f('], ['a record separator', '\x1e'], ['a comment', '/* x */'], ['a form feed', '\f'],
    ['a no-break space', '\u00a0'], ['another call', call('{"name":"add"}')], ['a comma', ','],
    ['a word', 'null'], ['a length', '99\r\n']])
    malformed(`before it: ${why}`, `${text}${echo()}`);
echoes('line ends', `${echo()}\r\n\r\n`);
echoes('a megabyte of blanks', [echo(), [' ', 1_000_000]]);

// ---- the grammar -----------------------------------------------------------------------------

section('syntax');
for (const [why, text] of [
    ['blanks only', '  '], ['a brace', '{'], ['a bracket', '['], ['a quote', '"'],
    ['no last brace', echo().slice(0, -1)], ['half of it', echo().slice(0, 30)],
    ['a comma at the end of the message', `${echo().slice(0, -1)},}`],
    ['a comma at the end of the params', call('{"name":"echo",}')],
    ['a comma at the end of an array', argument('[1,]')],
    ['a comma at the beginning', `{,${echo().slice(1)}`], ['two commas', echo(',,"a":1')],
    ['commas only', argument('[,]')], ['no comma', call('{"name":"echo" "a":1}')],
    ['no colon', call('{"name" "echo"}')], ['two colons', call('{"name"::"echo"}')],
    ['an equals sign', call('{"name"="echo"}')], ['no value', call('{"name":}')],
    ['a key alone', call('{"name"}')], ['a bare key', call('{name:"echo"}')],
    ['a bare value', call('{"name":echo}')], ['single quotes', echo().replaceAll('"', "'")],
    ['single quotes around the name', call("{'name':'echo'}")],
    ['typographic quotes', call('{“name”:“echo”}')], ['backticks', call('{"name":`echo`}')],
    ['a number as key', echo(',"arguments":{1:2}')], ['a word as key', echo(',"arguments":{null:2}')],
    ['an array as key', echo(',"arguments":{[1]:2}')], ['a comment', echo('/* "name":"add", */')],
    ['a line comment', call('{"name":"echo"// ,"name":"add"\n}')], ['a hash', call('{"name":"echo"#x\n}')],
    ['True', argument('True')], ['TRUE', argument('TRUE')], ['None', argument('None')],
    ['undefined', argument('undefined')], ['nil', argument('nil')], ['half a word', argument('nul')],
    ['a longer word', argument('nulls')], ['yes', argument('yes')], ['a regular expression', argument('/x/')],
    ['a function', argument('f()')], ['a raw tab in a string', argument('"a\tb"')],
    ['a raw line end in a string', argument('"a\nb"')], ['a raw return in a string', argument('"a\rb"')],
    ['a raw escape in a string', argument('"\x1b[0m"')], ['unit separator in a string', argument('"\x1f"')],
    ['a continued line', argument('"a\\\nb"')], ['\\x', argument('"\\x41"')], ['\\0', argument('"\\0"')],
    ['\\a', argument('"\\a"')], ['\\v', argument('"\\v"')], ["\\'", argument('"\\\'"')],
    ['\\e', argument('"\\e"')], ['\\U', argument('"\\U0001F600"')], ['\\u{41}', argument('"\\u{41}"')],
    ['three digits', argument('"\\u041"')], ['no digits', argument('"\\u"')],
    ['a sign among the digits', argument('"\\u+041"')], ['a blank among the digits', argument('"\\u 041"')],
    ['letters that are no digits', argument('"\\u00g0"')], ['digits of another script', argument('"\\u００41"')],
    ['\\ before a quote', argument('"x\\"')], ['another bracket', argument('[1}')],
    ['a colon in an array', argument('["a":1]')], ['an object without keys', argument('{1,2}')],
    ['a string in two parts', argument('"a" "b"')], ['a string with a plus', argument('"a"+"b"')],
    ['a spread', argument('[...x]')], ['a percent escape', argument('%7B%7D')],
    ['a form', 'jsonrpc=2.0&id=1&method=tools/call'], ['XML', '<call name="echo"/>'],
    ['YAML', 'jsonrpc: "2.0"\nid: 1\nmethod: ping\n'], ['YAML in braces', '{jsonrpc: "2.0", id: 1}'],
    ['CBOR', Buffer.from([0xa1, 0x62, 0x69, 0x64, 0x01])], ['gzip', Buffer.from([0x1f, 0x8b, 8, 0])],
    ['a form feed as blank', echo('\f,"a":1')], ['a vertical tab as blank', echo('\v,"a":1')],
    ['a no-break space as blank', echo('\u00a0,"a":1')], ['a zero-width space as blank', echo('\u200b,"a":1')],
    ['a line separator as blank', echo('\u2028,"a":1')]])
    malformed(why, text);
malformed('nothing', '');
for (const [why, text] of [['a string', '"tools/call"'], ['a number', '1'], ['true', 'true'],
    ['null', 'null'], ['an empty object', '{}'], ['a call as text', JSON.stringify(echo())],
    ['no version', '{"id":1,"method":"ping"}'], ['only params', '{"jsonrpc":"2.0","params":{}}'],
    ['an id alone', message('"id":1')], ['result and error', message('"id":1,"result":1,"error":{}')],
    ['method and result', message('"id":1,"method":"ping","result":{}')],
    ['method and error', message('"id":1,"method":"ping","error":{}')],
    ['method and error null', message('"id":1,"method":"ping","error":null')],
    ['a result without an id', message('"result":{}')],
    ['a result and params', message('"id":1,"result":{},"params":{"name":"add"}')]])
    refuse('not_jsonrpc', why, text);

// ---- batches ---------------------------------------------------------------------------------

section('batches');
const PING = request('ping');
const list = (n, text) => [`[${text}`, [`,${text}`, n - 1], ']'];
pass('one call', `[${echo()}]`, ECHO);
pass('several', `[${echo()},${PING},${message('"method":"notifications/x"')},${
    message('"id":2,"result":{}')}]`, ECHO, ['ping', null], ['notifications/x', null]);
pass('blanks', ` [ ${echo()} ,\n${PING} ] `, ECHO, ['ping', null]);
pass('256 messages', list(256, PING), ...Array(256).fill(['ping', null]));
deny('another tool last', `[${echo()},${call('{"name":"add"}')}]`, ECHO, ['tools/call', 'add']);
deny('another tool first', `[${call('{"name":"add"}')},${echo()}]`, ['tools/call', 'add'], ECHO);
deny('another tool in a notification', `[${echo()},${
    message('"method":"tools/call","params":{"name":"add"}')}]`, ECHO, ['tools/call', 'add']);
refuse('empty_batch', 'empty', '[]');
refuse('empty_batch', 'empty, with blanks', ' [ ] ');
refuse('not_jsonrpc', 'in a batch', `[[${echo()}]]`);
refuse('not_jsonrpc', 'in a batch, last', `[${echo()},[${call('{"name":"add"}')}]]`);
refuse('not_jsonrpc', 'an empty one in a batch', `[${echo()},[]]`);
refuse('not_jsonrpc', 'a number', `[${echo()},1]`);
refuse('not_jsonrpc', 'null', `[null,${echo()}]`);
refuse('not_jsonrpc', 'a call as text', `[${JSON.stringify(echo())}]`);
refuse('not_jsonrpc', 'an empty object', `[${echo()},{}]`);
refuse('batch_too_long', '257 messages', list(257, PING));
refuse('batch_too_long', '50000 messages', list(50_000, PING));
refuse('not_jsonrpc', 'an object that looks like one', `{"0":${echo()},"length":1}`);
malformed('messages in lines', `${echo()}\n${PING}\n`);
malformed('no brackets', `${echo()},${PING}`);
malformed('a comma at the end', `[${echo()},]`);
refuse('bad_params', 'a member without a name', `[${echo()},${call('{}')}]`);
folded('a member with METHOD', `[${echo()},${message('"id":1,"method":"ping","METHOD":"x"')}]`);

// ---- params ----------------------------------------------------------------------------------

section('params');
for (const params of ['["echo"]', '[{"name":"echo"}]', '[]', 'null', '"echo"', '1', 'true', '"{}"'])
    refuse('bad_params', `params ${params}`, call(params));
for (const name of ['null', '1', 'true', '["echo"]', '{"name":"echo"}', '""', '"ec\\nho"', '"\\techo"',
    '"echo\\u007f"', '"\\u001becho"'])
    refuse('bad_params', `name ${name}`, call(`{"name":${name}}`));
refuse('bad_params', 'no params', call());
refuse('bad_params', 'no name', call('{"arguments":{"name":"echo"}}'));
refuse('bad_params', 'name beside the params', message('"id":1,"method":"tools/call","name":"echo"'));
refuse('bad_params', 'a uri for a tool', call('{"uri":"echo"}'));
refuse('bad_params', 'a name for a resource', request('resources/read', '{"name":"echo"}'));
refuse('bad_params', '_meta as an array', echo(',"_meta":[]'));
refuse('bad_params', '_meta as text', echo(',"_meta":"{}"'));
refuse('bad_params', 'a revision that is a number', echo(`,"_meta":{"${MODERN_KEY}":2026}`));
refuse('bad_params', 'a revision with a line end', echo(`,"_meta":{"${MODERN_KEY}":"2026-07-28\\n"}`));
refuse('bad_params', 'no ref', request('completion/complete', '{"argument":{}}'));
refuse('bad_params', 'a ref to a tool',
    request('completion/complete', '{"ref":{"type":"ref/tool","name":"echo"}}'));
refuse('bad_params', 'a ref without a type', request('completion/complete', '{"ref":{"name":"echo"}}'));
refuse('bad_params', 'a ref in an array',
    request('completion/complete', '{"ref":[{"type":"ref/prompt","name":"echo"}]}'));
refuse('bad_params', 'a subscription to a number', request('subscriptions/listen',
    '{"notifications":{"resourceSubscriptions":[1]}}'));
refuse('bad_params', 'subscriptions as text', request('subscriptions/listen',
    '{"notifications":{"resourceSubscriptions":"a:"}}'));
for (const method of ['null', '1', '["tools/call"]', '{}', 'true', '""', '"ping\\n"', '"\\u0000"',
    '"ping\\u007f"', '"tools/call\\r\\nX: y"'])
    refuse('bad_method', `method ${method}`, message(`"id":1,"method":${method}`));

// ---- escapes ---------------------------------------------------------------------------------

section('escapes');
echoes('a slash in the method', request('tools\\/call', '{"name":"echo"}'));
echoes('the method in escapes', request(escapeAll('tools/call'), '{"name":"echo"}'));
echoes('the name in escapes', call(`{"name":"${escapeAll('echo')}"}`));
echoes('one letter of the name', call('{"name":"ec\\u0068o"}'));
echoes('all keys in escapes', `{"${escapeAll('jsonrpc')}":"${escapeAll('2.0')}","${
    escapeAll('id')}":1,"${escapeAll('method')}":"tools/call","${escapeAll('params')}":{"${
    escapeAll('name')}":"echo"}}`);
echoes('every short escape', argument('"\\"\\\\\\/\\b\\f\\n\\r\\t"'));
echoes('controls in an argument', argument('"\\u0001\\u001f\\u007f\\u0085"'));
echoes('a backslash and what looks like an escape', argument('"\\\\u0041 \\\\\\\\"'));
pass('an escaped free method', request('\\u0070ing'), ['ping', null]);
deny('another tool in escapes', call(`{"name":"${escapeAll('add')}"}`), ['tools/call', 'add']);
deny('another method in escapes', request('resources\\u002fread', '{"uri":"x:\\/\\/y"}'),
    ['resources/read', 'x://y']);
for (const [why, text, name] of [['a blank behind', 'echo ', 'echo '], ['a blank before', ' echo', ' echo'],
    ['capitals', 'ECHO', 'ECHO'], ['a fullwidth letter', 'ｅcho', 'ｅcho'],
    ['a Cyrillic letter', 'еcho', 'еcho'], ['a zero-width space', 'ec\\u200bho', 'ec\u200bho'],
    ['a soft hyphen', 'ec\\u00adho', 'ec\u00adho'], ['a combining mark', 'e\\u0301cho', 'e\u0301cho'],
    ['U+FEFF', '\\ufeffecho', '\ufeffecho'], ['a no-break space', 'echo\\u00a0', 'echo\u00a0'],
    ['an escaped backslash', 'ech\\\\u006f', 'ech\\u006f'], ['percent', 'ech%6f', 'ech%6f'],
    ['an entity', 'ech&#111;', 'ech&#111;'], ['a wildcard', '*', '*'], ['a question mark', 'ech?', 'ech?'],
    ['a slash', 'x/../echo', 'x/../echo'], ['override', '\\u202eohce', '\u202eohce'],
    ['__proto__', '__proto__', '__proto__'], ['constructor', 'constructor', 'constructor'],
    ['toString', 'toString', 'toString'], ['next line', 'echo\\u0085', 'echo\u0085']])
    deny(`a name with ${why}`, call(`{"name":"${text}"}`), ['tools/call', name]);
for (const method of ['Tools/call', 'tools/Call', 'TOOLS/CALL', ' tools/call', 'tools/call ',
    'tools//call', 'tools/call/', 'tools.call', 'tools／call', 'tools/caſſ', 'toolſ/call'])
    deny(`the method "${method}"`, request(method, '{"name":"echo"}'), [method, null]);

// ---- keys that some take for others ----------------------------------------------------------

section('folded');
for (const key of ['JSONRPC', 'JsonRpc', 'jſonrpc', 'ID', 'Id', 'iD', 'ıd', 'İd', 'METHOD', 'Method', 'metHod',
    'PARAMS', 'Params', 'paramſ', 'param\\u017f', 'PARAM\\u017F', '\\u004dethod', 'Result', 'reſult', 'ERROR'])
    folded(`${key} beside the others`, message(
        `"id":1,"method":"tools/call","params":{"name":"echo"},"${key}":{"name":"add"}`));
for (const key of ['METHOD', 'Params'])
    folded(`${key} first`, message(
        `"${key}":{"name":"add"},"id":1,"method":"tools/call","params":{"name":"echo"}`));
folded('only capitals', echo().replace('"method"', '"METHOD"'));
folded('all in capitals', '{"JSONRPC":"2.0","ID":1,"METHOD":"tools/call","PARAMS":{"NAME":"echo"}}');
for (const key of ['Name', 'NAME', '\\u004eame', 'nAme', 'URI', 'Uri', 'Arguments', 'argumentſ', '_META',
    '_Meta', 'Ref', 'Cursor', 'curſor', 'Notifications', 'notificationſ', 'ResourceSubscriptions',
    'TaskId', 'taskid', 'tasKId', 'taskİd'])
    folded(`${key} in the params`, echo(`,"${key}":"add"`));
folded('Name first', call('{"Name":"add","name":"echo"}'));
folded('Name alone', call('{"Name":"echo"}'));
for (const key of [MODERN_KEY.toUpperCase(), MODERN_KEY.toLowerCase(),
    MODERN_KEY.replace('s', 'ſ'), MODERN_KEY.replace('/', '\\/').replace('V', 'v')])
    folded(`${key} in _meta`, echo(`,"_meta":{"${key}":"2025-11-25"}`));
folded('the type of a ref', request('completion/complete',
    '{"ref":{"type":"ref/prompt","name":"a","TYPE":"ref/resource","uri":"b:"}}'));
folded('the subscriptions of a listener', request('subscriptions/listen',
    '{"notifications":{"resourcesubscriptions":["a:"]}}'));
echoes('METHOD in the arguments', echo(',"arguments":{"METHOD":1,"Name":2,"PARAMS":3}'));
echoes('METHOD in the params', echo(',"METHOD":"tools/list","ID":2'));
echoes('letters that fold to none of them', echo(',"ñame":"add","nåme":"add","n_ame":"add","name ":"add"'));

// ---- prototypes ------------------------------------------------------------------------------

section('prototypes');
echoes('__proto__ of the message', `${echo().slice(0, -1)},"__proto__":{"method":"tools/list"}}`);
echoes('__proto__ of the params', echo(',"__proto__":{"name":"add"}'));
echoes('__proto__ of the arguments', echo(',"arguments":{"__proto__":{"isAdmin":true}}'));
echoes('constructor', echo(',"arguments":{"constructor":{"prototype":{"x":1}}}'));
echoes('toJSON, toString, valueOf', echo(',"toJSON":1,"toString":"add","valueOf":"add"'));
echoes('$ref', echo(',"$ref":"#/x","$id":"y","@type":"z"'));
refuse('bad_params', 'a name in __proto__ only', call('{"__proto__":{"name":"echo"}}'));
refuse('not_jsonrpc', 'a method in __proto__ only',
    message('"id":1,"__proto__":{"method":"tools/call"},"params":{"name":"echo"}'));
duplicate('__proto__ twice', `${echo().slice(0, -1)},"__proto__":{},"__proto__":{"method":"x"}}`);
duplicate('__proto__ twice, escaped', echo(',"__proto__":{},"__pr\\u006fto__":{"name":"add"}'));

// ---- sizes -----------------------------------------------------------------------------------

section('sizes');
echoes('a string of a megabyte', [ARGUMENT[0], '"', ['0123456789abcdef', 65_536], '"', ARGUMENT[1]]);
echoes('a megabyte of escapes', [ARGUMENT[0], '"', ['\\n\\u00e9', 131_072], '"', ARGUMENT[1]]);
echoes('100000 elements', [ARGUMENT[0], '[0', [',1', 100_000], ']', ARGUMENT[1]]);
echoes('10000 objects', [ARGUMENT[0], '[{}', [',{"a":1,"b":[2]}', 10_000], ']', ARGUMENT[1]]);
echoes('3000 keys', echo(`,"arguments":{${
    Array.from({ length: 3000 }, (_, i) => `"key${i}":${i}`).join(',')}}`));
echoes('a key of 64 KiB', [echo().slice(0, -2), ',"', ['k', 65_536], '":1}}']);
duplicate('20000 empty keys', [echo().slice(0, -2), [',"":0', 20_000], '}}']);
deny('a name of 5000 bytes', call(`{"name":"${'echo'.repeat(1250)}"}`),
    ['tools/call', 'echo'.repeat(1250)]);
deny('a name of 32 KiB with its quotes', call(`{"name":"${'e'.repeat(32_766)}"}`),
    ['tools/call', 'e'.repeat(32_766)]);
refuse('bad_params', 'a name of one byte more', call(`{"name":"${'e'.repeat(32_767)}"}`));
refuse('bad_method', 'a method of a megabyte', ['{"jsonrpc":"2.0","id":1,"method":"', ['m', 1_000_000], '"}']);
refuse('bad_id', 'an id of a megabyte', ['{"jsonrpc":"2.0","method":"ping","id":"', ['i', 1_000_000], '"}']);
refuse('bad_params', 'a name of a megabyte of escapes', ['{"jsonrpc":"2.0","id":1,"method":"tools/call",' +
    '"params":{"name":"', ['\\u0065', 160_000], '"}}']);
malformed('a string of a megabyte that does not end', [ARGUMENT[0], '"', ['x', 1_000_000]]);

// ---- writing ---------------------------------------------------------------------------------

const counts = new Map();
const text = `[\n${rows.map((row) => {
    const number = (counts.get(row.group) ?? 0) + 1;
    counts.set(row.group, number);
    return JSON.stringify({ id: `${row.group}-${number}`, ...row });
}).join(',\n')}\n]\n`;
const file = new URL('json-bodies.json', import.meta.url);

if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
    console.log(`${rows.length} bodies:`, Object.fromEntries(counts));
} else if (readFileSync(file, 'utf8') !== text) {
    console.error('json-bodies.json is not what make-json-bodies.mjs writes');
    process.exit(1);
}
