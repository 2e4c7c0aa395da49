#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes http-probes.json beside this file (--check: only compares). The probes are raw requests that
// must be refused, or must pass, by the byte; the unit test of proto/http1_request and the
// integration tests read the same list.
//
// A row: {id, group, why, raw, expect: "refuse" | "accept", reason?, status?}. RAW is a string, or an
// array of strings and [string, count] repetitions; each UTF-16 unit stands for one byte (latin1).
// A refused row names the reason of http1_request_reason() and its status. MARKED rows carry a second
// request, GET /smuggled, where a lenient parser would find one.
// The sizes assume limits of 32 KiB for the head and 8 KiB for the target.
import { readFileSync, writeFileSync } from 'node:fs';

const CRLF = '\r\n';
const HOST = `Host: example.test${CRLF}`;
const SMUGGLED = `GET /smuggled HTTP/1.1${CRLF}Host: victim.test${CRLF}${CRLF}`;
const HEAD_LIMIT = 32768;
const TARGET_LIMIT = 8192;

const STATUS = {
    target_too_long: 414, bad_expect: 417, head_too_large: 431, too_many_fields: 431,
    version_not_supported: 505, http2_preface: 505,
};

const rows = [];

function refuse(group, reason, why, raw) {
    rows.push({ group, why, raw, expect: 'refuse', reason, status: STATUS[reason] ?? 400 });
}
function accept(why, raw) {
    rows.push({ group: 'good', why, raw, expect: 'accept' });
}
// What a byte looks like in a WHY.
function show(text) {
    return text.length > 40 ? `${show(text.slice(0, 20))}... (${text.length} bytes)`
        : JSON.stringify(text).slice(1, -1).replace(/[\x7f-\xff]/g,
            (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}
// The bytes of UTF-8 text, one unit each.
function utf8(text) {
    return Buffer.from(text, 'utf8').toString('latin1');
}

const get = (target, rest = HOST) => `GET ${target} HTTP/1.1${CRLF}${rest}${CRLF}`;
const post = (fields, body = '') => `POST /mcp HTTP/1.1${CRLF}${HOST}${fields}${CRLF}${body}`;
const line = (text) => text + CRLF;
const CHUNKED = line('Transfer-Encoding: chunked');

// ---- framing: Content-Length, and the two together -------------------------------------------

const BAD_LENGTHS = ['+5', '-5', '5 ', '5\t', '5,5', '5, 5', '5,6', '5;', '5.0', '5e0', '0x5', '0b1',
    '0o5', '', ' ', 'five', '5 5', '"5"', '_5', '1_0', '5\u0085', utf8('٥'), utf8('５'),
    '9223372036854775808', '18446744073709551616', '99999999999999999999', '18446744073709551621',
    '0'.repeat(300), '(5)', '=5', '5=', '5h', '5%20'];
for (const value of BAD_LENGTHS)
    refuse('framing', 'bad_content_length', `Content-Length: "${show(value)}" is no number`,
        post(line(`Content-Length: ${value}`), `hello${SMUGGLED}`));
for (const value of ['5\0', '5\v', '\v5', '\f5', '\x015', '5\r'])
    refuse('framing', 'bad_field_value', `Content-Length: "${show(value)}" has a control byte`,
        post(line(`Content-Length: ${value}`), `hello${SMUGGLED}`));
for (const [first, second] of [['5', '5'], ['5', '6'], ['0', '5'], ['5', '0'], ['5', '']])
    refuse('framing', 'bad_content_length', `two Content-Length fields: "${first}" and "${second}"`,
        post(line(`Content-Length: ${first}`) + line(`content-length: ${second}`),
            `hello${SMUGGLED}`));
refuse('framing', 'bad_field_name', 'Content_Length is Content-Length to CGI-like upstreams',
    post(line('Content-Length: 0') + line('Content_Length: 5'), `hello${SMUGGLED}`));
refuse('framing', 'bad_field_name', 'space before the colon of Content-Length',
    post(line('Content-Length : 5'), `hello${SMUGGLED}`));
refuse('framing', 'bad_field_name', 'Content-Length folded within its name',
    post(line('Content') + line('-Length: 5'), `hello${SMUGGLED}`));
refuse('framing', 'bad_content_length', 'Content-Length folded before its value',
    post(line('Content-Length:') + line(' 5'), `hello${SMUGGLED}`));
const TWO_WAYS = [
    ['Content-Length before Transfer-Encoding', line('Content-Length: 5') + CHUNKED],
    ['Content-Length behind Transfer-Encoding', CHUNKED + line('Content-Length: 5')],
    ['Content-Length: 0 beside chunked', line('Content-Length: 0') + CHUNKED],
    ['other fields between the two', line('Content-Length: 5') + line('A: b') + CHUNKED],
    ['unusual case', line('CONTENT-LENGTH: 5') + line('TRANSFER-ENCODING: CHUNKED')],
    ['mixed case', line('Content-Length: 5') + line('tRANSFER-eNCODING: cHUNKED')],
];
for (const [why, fields] of TWO_WAYS)
    refuse('framing', 'ambiguous_framing', `both framings: ${why}`,
        post(fields, `0${CRLF}${CRLF}${SMUGGLED}`));
refuse('framing', 'bad_transfer_encoding', 'chunked in HTTP/1.0',
    `POST /mcp HTTP/1.0${CRLF}${HOST}${CHUNKED}${CRLF}0${CRLF}${CRLF}${SMUGGLED}`);
refuse('framing', 'bad_transfer_encoding', 'both framings in HTTP/1.0',
    `POST /mcp HTTP/1.0${CRLF}${HOST}${line('Content-Length: 5')}${CHUNKED}${CRLF}0${CRLF}${CRLF}`);

// ---- mutations of "Transfer-Encoding: chunked" -----------------------------------------------

const TE_VALUES = ['identity', 'gzip', 'deflate', 'compress', 'cow', 'trailers', '*', '', ' ',
    'chunked, identity', 'identity, chunked', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked',
    'chunked,chunked', 'chunked,', ',chunked', ', chunked', 'chunked ,', 'chunked, ,', 'chunked;',
    'chunked;q=1', 'chunked;q=0', 'chunked;ext', 'identity;chunked', 'chunked chunked', '"chunked"',
    '\'chunked\'', '(chunked)', 'chunked ', 'chunked\t', 'chunked  ', 'xchunked', 'chunkedx', 'chunke',
    'chunk', 'hunked', '0chunked', 'chun ked', 'ch-unked', 'not-chunked', 'chunked/1.0', 'chunked=1',
    '=chunked', 'chunked:', ':chunked', 'chunked\\', '%63hunked', 'chunked%20', 'chunked\x80',
    '\x80chunked', '\xa0chunked', 'chunked\xff', utf8('chun\u212aed'), utf8('ｃhunked'),
    utf8('\ufeffchunked'), utf8('chunked\u2028'), 'c\u0068\u00fcnked', 'chunked#', 'chunked\tx'];
for (const value of TE_VALUES)
    refuse('te', 'bad_transfer_encoding', `Transfer-Encoding: "${show(value)}"`,
        post(line(`Transfer-Encoding: ${value}`), `0${CRLF}${CRLF}${SMUGGLED}`));
for (const value of ['\vchunked', 'chunked\v', '\fchunked', 'chunked\f', '\0chunked', 'chunked\0',
    'chu\0nked', 'chunked\x1f', '\x7fchunked', 'chunked\rx', '\x08chunked', 'x\nchunked', '\nchunked'])
    refuse('te', 'bad_field_value', `Transfer-Encoding: "${show(value)}" has a control byte`,
        post(line(`Transfer-Encoding: ${value}`), `0${CRLF}${CRLF}${SMUGGLED}`));

const LENGTH_4 = line('Content-Length: 4');
const TE_NAMES = ['Transfer-Encoding :', 'Transfer-Encoding\t:', 'Transfer Encoding:',
    'Transfer_Encoding:', 'transfer_encoding:', 'Transfer-Encoding\0:', 'Transfer-Encoding\v:',
    '\0Transfer-Encoding:', ':Transfer-Encoding:', 'Transfer-Encoding', 'Transfer-Encoding=',
    'Transfer-Encoding\x80:', '\xa0Transfer-Encoding:', 'Transfer-Encoding;:', '"Transfer-Encoding":',
    '(Transfer-Encoding):', 'Transfer-Encoding\x7f:', 'Transfer-Encoding\r:', 'Transfer-Encoding\n:',
    '[Transfer-Encoding]:', 'Transfer-Encoding@:', '{Transfer-Encoding}:', '\x08Transfer-Encoding:',
    utf8('\ufeffTransfer-Encoding:')];
for (const name of TE_NAMES)
    refuse('te', 'bad_field_name', `name written "${show(name)}"`,
        post(LENGTH_4 + line(`${name} chunked`), `0${CRLF}${CRLF}${SMUGGLED}`));
const TE_LINES = [
    ['folded_field', 'behind a space', ` ${CHUNKED}`],
    ['folded_field', 'behind a tab', `\t${CHUNKED}`],
    ['folded_field', 'as the folded part of another field', `Foo: bar${CRLF}\t${CHUNKED}`],
    ['bad_transfer_encoding', 'value on the next line', line('Transfer-Encoding:') + line(' chunked')],
    ['bad_transfer_encoding', 'value on the next line, tab',
        line('Transfer-Encoding:') + line('\tchunked')],
    ['bad_field_name', 'name on two lines', line('Transfer') + line('-Encoding: chunked')],
    ['folded_field', 'name folded', line('Transfer-:') + line(' Encoding: chunked')],
    ['bad_field_value', 'behind a bare LF', `X: x\n${CHUNKED}`],
    ['bad_field_value', 'behind a bare CR', `X: x\r${CHUNKED}`],
    ['bad_field_value', 'behind a NUL', `X: x\0${CHUNKED}`],
    ['bad_transfer_encoding', 'twice', CHUNKED + CHUNKED],
    ['bad_transfer_encoding', 'then identity', CHUNKED + line('Transfer-Encoding: identity')],
    ['bad_transfer_encoding', 'after identity', line('Transfer-Encoding: identity') + CHUNKED],
    ['bad_transfer_encoding', 'then empty', CHUNKED + line('Transfer-Encoding:')],
    ['bad_field_name', 'then its twin with an underscore', CHUNKED + line('Transfer_Encoding: x')],
];
for (const [reason, why, fields] of TE_LINES)
    refuse('te', reason, `Transfer-Encoding ${why}`, post(fields, `0${CRLF}${CRLF}${SMUGGLED}`));

// ---- chunks ----------------------------------------------------------------------------------

const chunked = (body) => post(CHUNKED, body);
const LAST = `0${CRLF}${CRLF}`;
const BAD_SIZES = ['0x5', '0X5', '+5', '-5', ' 5', '5 ', '\t5', '5\t', '5;', '5;ext', '5;ext=1',
    '5; ext="a"', '5 ;ext', '5;\rext', '', 'G', '5g', '5,5', '5.0', '"5"', '5\0', '\x005', '5\v', '5_0',
    utf8('٥'), '5\x80', '0'.repeat(17), '0'.repeat(16) + '5', '8000000000000000', 'FFFFFFFFFFFFFFFF',
    'FFFFFFFFFFFFFFFE', '10000000000000000', '10000000000000005', '5\r'];
for (const size of BAD_SIZES)
    refuse('chunks', 'bad_chunk', `chunk size "${show(size)}"`,
        chunked(`${size}${CRLF}hello${CRLF}${LAST}${SMUGGLED}`));
const BAD_CHUNKS = [
    ['bad_chunk', 'size ended by LF', `5\nhello${CRLF}${LAST}`],
    ['bad_chunk', 'size ended by CR', `5\rhello${CRLF}${LAST}`],
    ['bad_chunk', 'extension with a bare LF', `5;\nhello${CRLF}${LAST}`],
    ['bad_chunk', 'more data than announced', `5${CRLF}hello!${CRLF}${LAST}`],
    ['bad_chunk', 'less data than announced', `6${CRLF}hello${CRLF}${LAST}`],
    ['bad_chunk', 'no CRLF behind the data', `5${CRLF}hello${LAST}`],
    ['bad_chunk', 'LF behind the data', `5${CRLF}hello\n${LAST}`],
    ['bad_chunk', 'CR behind the data', `5${CRLF}hello\r${LAST}`],
    ['bad_chunk', 'two characters for CRLF behind the data', `5${CRLF}helloXX${LAST}`],
    ['bad_chunk', 'blank before CRLF behind the data', `5${CRLF}hello ${CRLF}${LAST}`],
    ['bad_chunk', 'empty line before the size', `${CRLF}5${CRLF}hello${CRLF}${LAST}`],
    ['bad_chunk', 'second size is bad', `5${CRLF}hello${CRLF}x${CRLF}hello${CRLF}${LAST}`],
    ['bad_chunk', 'last chunk -0', `-0${CRLF}${CRLF}`],
    ['bad_chunk', 'last chunk 0x0', `0x0${CRLF}${CRLF}`],
    ['bad_chunk', 'last chunk with a blank', `0 ${CRLF}${CRLF}`],
    ['bad_chunk', 'last chunk with an extension', `0;ext${CRLF}${CRLF}`],
    ['bad_chunk', 'last chunk ended by LFs', '0\n\n'],
    ['bad_chunk', 'empty line ended by LF', `0${CRLF}\n`],
    ['bad_chunk', 'empty line of two CRs', `0${CRLF}\r\r\n`],
    ['bad_chunk', 'empty line ended by CR', `0${CRLF}\rX`],
    ['bad_chunk', 'last chunk ended by CR', `0\r\r\n`],
    ['trailer', 'blank line with a space', `0${CRLF} ${CRLF}${CRLF}`],
    ['trailer', 'trailer field', `0${CRLF}X: y${CRLF}${CRLF}`],
    ['trailer', 'trailer Authorization', `0${CRLF}Authorization: Bearer x${CRLF}${CRLF}`],
    ['trailer', 'trailer Content-Length', `5${CRLF}hello${CRLF}0${CRLF}Content-Length: 9${CRLF}${CRLF}`],
    ['trailer', 'trailer Host', `0${CRLF}Host: other.test${CRLF}${CRLF}`],
    ['trailer', 'trailer that is folded', `0${CRLF}\tX: y${CRLF}${CRLF}`],
    ['trailer', 'trailer that is not a field', `0${CRLF}\0${CRLF}${CRLF}`],
    ['trailer', 'next request without the empty line', `0${CRLF}`],
];
for (const [reason, why, body] of BAD_CHUNKS)
    refuse('chunks', reason, why, chunked(body + SMUGGLED));

// ---- lines, methods and versions -------------------------------------------------------------

const BAD_LINES = [
    ['bad_line_end', 'CRLF before the request', CRLF + get('/mcp')],
    ['bad_line_end', 'LF before the request', `\n${get('/mcp')}`],
    ['bad_line_end', 'CR before the request', `\r${get('/mcp')}`],
    ['bad_line_end', 'many empty lines before the request', CRLF.repeat(5) + get('/mcp')],
    ['bad_method', 'space before the method', ` ${get('/mcp')}`],
    ['bad_method', 'tab before the method', `\t${get('/mcp')}`],
    ['bad_target', 'two spaces behind the method', get(' /mcp')],
    ['bad_version', 'two spaces behind the target', `GET /mcp  HTTP/1.1${CRLF}${HOST}${CRLF}`],
    ['bad_method', 'tab behind the method', `GET\t/mcp HTTP/1.1${CRLF}${HOST}${CRLF}`],
    ['bad_target', 'tab behind the target', `GET /mcp\tHTTP/1.1${CRLF}${HOST}${CRLF}`],
    ['bad_target', 'vertical tab behind the target', `GET /mcp\vHTTP/1.1${CRLF}${HOST}${CRLF}`],
    ['bad_line_end', 'space behind the version', `GET /mcp HTTP/1.1 ${CRLF}${HOST}${CRLF}`],
    ['bad_line_end', 'word behind the version', `GET /mcp HTTP/1.1 x${CRLF}${HOST}${CRLF}`],
    ['bad_line_end', 'NUL behind the version', `GET /mcp HTTP/1.1\0${CRLF}${HOST}${CRLF}`],
    ['bad_line_end', 'request line ended by LF', `GET /mcp HTTP/1.1\n${HOST}${CRLF}`],
    ['bad_line_end', 'request line ended by CR', `GET /mcp HTTP/1.1\r${HOST}${CRLF}`],
    ['bad_line_end', 'request line ended by CR CR LF', `GET /mcp HTTP/1.1\r\r\n${HOST}${CRLF}`],
    ['bad_field_value', 'field ended by LF', `GET /mcp HTTP/1.1${CRLF}Host: a\nX: y${CRLF}${CRLF}`],
    ['bad_field_value', 'field ended by CR', `GET /mcp HTTP/1.1${CRLF}Host: a\rX: y${CRLF}${CRLF}`],
    ['bad_field_value', 'field ended by CR CR LF', get('/mcp', 'Host: a\r\r\n')],
    ['bad_field_value', 'field ended by LF CR', get('/mcp', 'Host: a\n\r')],
    ['bad_line_end', 'head ended by LF', `GET /mcp HTTP/1.1${CRLF}${HOST}\n`],
    ['bad_line_end', 'head ended by CR CR', `GET /mcp HTTP/1.1${CRLF}${HOST}\r\r`],
    ['bad_line_end', 'head ended by CR and more', `GET /mcp HTTP/1.1${CRLF}${HOST}\rX`],
    ['bad_line_end', 'all lines ended by LF', get('/mcp').replaceAll(CRLF, '\n')],
    ['bad_line_end', 'all lines ended by CR', get('/mcp').replaceAll(CRLF, '\r')],
    ['bad_version', 'HTTP/0.9', `GET /mcp${CRLF}`],
    ['bad_version', 'HTTP/0.9, LF', 'GET /mcp\n'],
    ['bad_version', 'HTTP/0.9 with a query', `GET /mcp?a=b${CRLF}`],
    ['bad_version', 'no version behind the space', `GET /mcp ${CRLF}${HOST}${CRLF}`],
    ['bad_method', 'method alone', `GET${CRLF}${CRLF}`],
    ['bad_target', 'method and space alone', `GET ${CRLF}${CRLF}`],
];
for (const [reason, why, raw] of BAD_LINES)
    refuse('lines', reason, why, raw);
for (const method of ['', '(GET)', 'G(ET', '"GET"', 'G,ET', 'G/ET', 'GET:', 'G;ET', '<GET>', 'GET=',
    'G?ET', 'G@T', '[GET]', 'G\\ET', '{GET}', 'G\0ET', 'GET\0', 'G\x01ET', 'G\x7fET', 'G\x80ET',
    utf8('GÉT'), utf8('ＧＥＴ'), 'M'.repeat(33)])
    refuse('methods', 'bad_method', `method "${show(method)}"`,
        `${method} /mcp HTTP/1.1${CRLF}${HOST}${CRLF}`);
for (const version of ['HTTP/1.2', 'HTTP/1.9', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/0.1', 'HTTP/3.0', 'HTTP/9.9'])
    refuse('versions', 'version_not_supported', version,
        `GET /mcp ${version}${CRLF}${HOST}${CRLF}`);
for (const version of ['HTTP/1', 'HTTP/2', 'HTTP/1.', 'HTTP/.1', 'HTTP/11.1', 'HTTP/01.1', 'HTTP/1,1',
    'HTTP/1.x', 'HTTP/ 1.1', 'HTTP 1.1', 'HTTP1.1', 'http/1.1', 'Http/1.1', 'HTTPS/1.1', 'HTTP//1.1',
    'HTTP/-1.1', 'HTTP/1 .1', 'ICY/1.1', 'RTSP/1.0', '\0HTTP/1.1', utf8('HTTP/١.١'), 'x HTTP/1.1',
    'X'])
    refuse('versions', 'bad_version', `version "${show(version)}"`,
        `GET /mcp ${version}${CRLF}${HOST}${CRLF}`);
for (const version of ['HTTP/1.10', 'HTTP/1.1.1', 'HTTP/1.1x', 'HTTP/1.1;'])
    refuse('versions', 'bad_line_end', `version "${version}"`,
        `GET /mcp ${version}${CRLF}${HOST}${CRLF}`);

// ---- targets ---------------------------------------------------------------------------------

for (const target of ['http://example.test/mcp', 'http://other.test/mcp', 'https://example.test/mcp',
    'HTTP://example.test/mcp', 'http:///mcp', 'http:/mcp', 'file:///etc/passwd', 'ftp://example.test/',
    'javascript:1', 'example.test:80', 'example.test', 'mcp', 'mcp/', './mcp', '../mcp', '?a=b', '#', '*',
    '**', '*/mcp', '\\mcp', '%2fmcp', ';/mcp', '@example.test/mcp', ':80/mcp', '[::1]/mcp'])
    refuse('targets', 'bad_target', `target "${target}" is not a path`, get(target));
refuse('targets', 'bad_target', 'CONNECT with an authority',
    `CONNECT example.test:443 HTTP/1.1${CRLF}${HOST}${CRLF}`);
refuse('targets', 'bad_target', '"*" and more with OPTIONS',
    `OPTIONS *x HTTP/1.1${CRLF}${HOST}${CRLF}`);
refuse('targets', 'bad_target', '"*" is for OPTIONS only', `POST * HTTP/1.1${CRLF}${HOST}${CRLF}`);
for (const c of ['\0', '\x01', '\t', '\x1b', '\x7f', '\x80', '\xff', utf8('é'), '"', '<', '>', '\\', '^',
    '`', '{', '|', '}', '[', ']', '#'])
    refuse('targets', 'bad_target', `byte "${show(c)}" in the path`, get(`/mcp${c}x`));
for (const c of ['\0', '\x01', '\t', '\x7f', '\x80', utf8('é'), '"', '<', '>', '\\', '{', '}', '[', '#'])
    refuse('targets', 'bad_target', `byte "${show(c)}" in the query`, get(`/mcp?a=${c}x`));
for (const target of ['/mcp%', '/mcp%2', '/mcp%zz', '/mcp%2g', '/mcp%g2', '/mcp%%41', '/mcp%u0041',
    '/mcp% 41', '/mcp?a=%', '/mcp?a=%4', '/mcp?a=%zz', '/mcp?a=%-1', '/mcp%?a=b', '/mcp%2?f'])
    refuse('targets', 'bad_target', `bad percent escape in "${target}"`, get(target));
for (const target of ['/mcp%00', '/%00mcp', '/mcp%00.html', '/mcp?a=%00', '/mcp?a%00=b'])
    refuse('targets', 'bad_target', `NUL escape in "${target}"`, get(target));
for (const target of ['/..', '/.', '/../mcp', '/./mcp', '/a/../mcp', '/a/./mcp', '/mcp/..', '/mcp/.',
    '/mcp/../', '/..?a=b', '/.?', '/%2e%2e/mcp', '/%2E%2E/mcp', '/.%2e/mcp', '/%2e./mcp', '/%2e/mcp',
    '/mcp/%2e%2e', '/a/%2e%2e?b', '/..;/mcp', '/..;a=b/mcp', '/.;/mcp', '/mcp/..;', '/%2e%2e;/mcp',
    '/..%3b/mcp'])
    refuse('targets', 'ambiguous_path', `dot segment in "${target}"`, get(target));
for (const target of ['//mcp', '//', '///mcp', '/mcp//', '/mcp//x', '//example.test/mcp', '/a//b?c'])
    refuse('targets', 'ambiguous_path', `empty segment in "${target}"`, get(target));
for (const target of ['/%2fmcp', '/%2Fmcp', '/mcp%2f', '/mcp%2F..', '/a%2fb', '/%5cmcp', '/mcp%5C..',
    '/..%2fmcp', '/..%5cmcp'])
    refuse('targets', 'ambiguous_path', `encoded slash in "${target}"`, get(target));

// ---- Host ------------------------------------------------------------------------------------

refuse('hosts', 'bad_host', 'no Host in HTTP/1.1', get('/mcp', ''));
refuse('hosts', 'bad_host', 'no Host among other fields', get('/mcp', line('X-Host: example.test')));
refuse('hosts', 'bad_host', 'Host twice, equal', get('/mcp', HOST + HOST));
refuse('hosts', 'bad_host', 'Host twice, different', get('/mcp', HOST + line('HOST: other.test')));
refuse('hosts', 'bad_host', 'Host twice in HTTP/1.0', `GET /mcp HTTP/1.0${CRLF}${HOST}${HOST}${CRLF}`);
refuse('hosts', 'bad_host', 'empty Host in HTTP/1.0', `GET /mcp HTTP/1.0${CRLF}Host:${CRLF}${CRLF}`);
for (const host of ['', ' ', 'a b', 'a,b', 'a, b', 'a,', 'user@a', 'user:pw@a', '@a', 'a/', 'a/mcp',
    'http://a', '//a', 'a?b', 'a#b', 'a\\b', 'a;b', 'a"b"', '"a"', '(a)', '<a>', 'a%2eb', 'a%00', 'a..b',
    '.a', '.', '..', 'a:', 'a:0', 'a:65536', 'a:99999', 'a:000080', 'a:-1', 'a:+80', 'a: 80', 'a :80',
    'a:80:80', 'a:80a', 'a:http', 'a:0x50', ':80', ':', '[::1', '::1', '::1]', '[]', '[::1]x', '[::1]:',
    '[::1]80', '[::g]', '[::1%25eth0]', '[1.2.3.4]', '[::1][::1]', '[[::1]]', '[v1.a]', 'a\x80', 'a\xff',
    utf8('ä'), '256.1.1.1', '1.2.3', '127.1', '1.2.3.4.5', '01.2.3.4', '0x7f000001', '0x7f.0.0.1',
    '2130706433', '1.2.3.4.', 'a!b', 'a~b', 'a*b', 'a=b', 'a&b', 'a+b', 'a\'b', 'a|b', 'a^b', '{a}',
    `${'a'.repeat(64)}.test`, `${'a.'.repeat(127)}`, 'x'.repeat(300),
    `a${' '.repeat(300)}b`, 'example.test\tother.test'])
    refuse('hosts', 'bad_host', `Host: "${show(host)}"`, get('/mcp', line(`Host: ${host}`)));
for (const host of ['a\0b', 'a\0', 'a\x01', 'a\x7f', '\va'])
    refuse('hosts', 'bad_field_value', `Host: "${show(host)}" has a control byte`,
        get('/mcp', line(`Host: ${host}`)));
refuse('hosts', 'bad_field_name', 'space before the colon', get('/mcp', line('Host : example.test')));
refuse('hosts', 'folded_field', 'space before Host', get('/mcp', line(' Host: example.test')));
refuse('hosts', 'folded_field', 'Host folded', get('/mcp', line('Host: example') + line(' .test')));
refuse('hosts', 'bad_host', 'Host folded before its value',
    get('/mcp', line('Host:') + line(' example.test')));

// ---- fields ----------------------------------------------------------------------------------

const withField = (text) => get('/mcp', HOST + text);
for (const name of ['', 'X Y', 'X ', 'X\t', 'X(', 'X)', 'X,', 'X/', 'X;', 'X<', 'X=', 'X>', 'X?',
    'X@', 'X[', 'X\\', 'X]', 'X{', 'X}', '"X"', 'X\0', 'X\x01', 'X\v', 'X\x7f', 'X\x80', 'X\r', 'X\n',
    utf8('É'), 'Authorization ', 'Origin\t'])
    refuse('fields', 'bad_field_name', `field name "${show(name)}"`, withField(line(`${name}: y`)));
refuse('fields', 'bad_field_name', 'a line without a colon', withField(line('X-No-Colon')));
refuse('fields', 'bad_field_name', 'a word as the last line', withField(line('chunked')));
refuse('fields', 'bad_field_name', 'a second request line as a field', withField(SMUGGLED));
refuse('fields', 'bad_field_name', 'Mcp_Session_Id is Mcp-Session-Id to CGI-like upstreams',
    withField(line('Mcp_Session_Id: x')));
for (const value of ['\0', 'a\0b', 'a\x01', 'a\x08', 'a\vb', 'a\fb', 'a\x1bb', 'a\x1f', 'a\x7fb', 'a\rb',
    'a\nb', '\r', 'a\r\rb'])
    refuse('fields', 'bad_field_value', `field value "${show(value)}"`, withField(line(`X: ${value}`)));
refuse('fields', 'bad_field_value', 'NUL cuts the token of libmicrohttpd',
    withField(line('Authorization: Bearer good\0evil')));
refuse('fields', 'bad_field_value', 'CR in the token', withField(line('Authorization: Bearer a\rb')));
refuse('fields', 'folded_field', 'obs-fold with a space', withField(line('X: a') + line(' b')));
refuse('fields', 'folded_field', 'obs-fold with a tab', withField(line('X: a') + line('\tb')));
refuse('fields', 'folded_field', 'obs-fold of nothing', withField(line('X: a') + line(' ')));
refuse('fields', 'folded_field', 'obs-fold of the token',
    withField(line('Authorization: Bearer a') + line(' b')));
refuse('fields', 'folded_field', 'first field line folded', get('/mcp', line(' X: y') + HOST));

for (const name of ['Content-Type', 'Origin', 'Mcp-Session-Id', 'Last-Event-ID', 'Access-Control-Request-Method']) {
    refuse('duplicates', 'duplicate_field', `${name} twice, equal`,
        withField(line(`${name}: a`) + line(`${name}: a`)));
    refuse('duplicates', 'duplicate_field', `${name} twice, in other case`,
        withField(line(`${name}: a`) + line('X: y') + line(`${name.toUpperCase()}: b`)));
}
refuse('duplicates', 'bad_field_name', 'Mcp-Name and its twin with an underscore',
    withField(line('Mcp-Name: a') + line('Mcp_Name: b')));
refuse('duplicates', 'bad_expect', 'Expect twice',
    withField(line('Expect: 100-continue').repeat(2)));
for (const value of ['200-ok', '', '100-continue, 100-continue', '100-continue;q=1', '100', 'x'])
    refuse('expect', 'bad_expect', `Expect: "${value}"`, withField(line(`Expect: ${value}`)));

// ---- sizes -----------------------------------------------------------------------------------

// A request whose head has exactly BYTES bytes.
function headOf(bytes) {
    const rest = get('/mcp', `${HOST}X: ${CRLF}`).length;
    return [`GET /mcp HTTP/1.1${CRLF}${HOST}X: `, ['x', bytes - rest], CRLF + CRLF];
}
const targetOf = (bytes) => ['GET /', ['t', bytes - 1], ` HTTP/1.1${CRLF}${HOST}${CRLF}`];
const fieldsOf = (count) => [`GET /mcp HTTP/1.1${CRLF}${HOST}`, ['X: y\r\n', count - 1], CRLF];
refuse('sizes', 'head_too_large', 'head one byte past the limit', headOf(HEAD_LIMIT + 1));
refuse('sizes', 'head_too_large', 'one long field name',
    [`GET /mcp HTTP/1.1${CRLF}${HOST}`, ['x', 40000], `: y${CRLF}${CRLF}`]);
refuse('sizes', 'head_too_large', 'blanks without end',
    [`GET /mcp HTTP/1.1${CRLF}${HOST}X:`, [' ', 40000], `y${CRLF}${CRLF}`]);
refuse('sizes', 'target_too_long', 'target one byte past the limit', targetOf(TARGET_LIMIT + 1));
refuse('sizes', 'target_too_long', 'long query',
    ['GET /mcp?', ['q', 20000], ` HTTP/1.1${CRLF}${HOST}${CRLF}`]);
refuse('sizes', 'too_many_fields', '101 fields', fieldsOf(101));

// ---- not HTTP/1 ------------------------------------------------------------------------------

refuse('alien', 'http2_preface', 'HTTP/2 with prior knowledge', `PRI * HTTP/2.0${CRLF}${CRLF}SM${CRLF}${CRLF}`);
const ALIEN = [
    ['bad_method', 'TLS ClientHello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['bad_method', 'SSLv2 ClientHello', '\x80\x2e\x01\x00\x02'],
    ['bad_line_end', 'PROXY protocol, version 2', '\r\n\r\n\0\r\nQUIT\n'],
    ['bad_target', 'PROXY protocol, version 1', `PROXY TCP4 1.2.3.4 5.6.7.8 1 2${CRLF}${get('/mcp')}`],
    ['bad_method', 'SSH', `SSH-2.0-OpenSSH_9.2${CRLF}`],
    ['bad_target', 'SMTP', `EHLO mail.example.test${CRLF}`],
    ['bad_method', 'Redis', `*1${CRLF}$4${CRLF}PING${CRLF}`],
    ['bad_method', 'memcached', `stats${CRLF}`],
    ['bad_method', 'JSON-RPC without HTTP', '{"jsonrpc":"2.0","id":1,"method":"ping"}\n'],
    ['bad_method', 'an HTTP answer', `HTTP/1.1 200 OK${CRLF}Content-Length: 0${CRLF}${CRLF}`],
    ['bad_version', 'RTSP', `OPTIONS /mcp RTSP/1.0${CRLF}CSeq: 1${CRLF}${CRLF}`],
    ['bad_target', 'SIP', `INVITE sip:a@example.test SIP/2.0${CRLF}${CRLF}`],
    ['bad_method', 'WebSocket frame', '\x81\x05hello'],
    ['bad_method', 'SOCKS5', '\x05\x01\x00'],
    ['bad_method', 'PostgreSQL', '\0\0\0\x08\x04\xd2\x16\x2f'],
    ['bad_method', 'MQTT', '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00'],
    ['bad_method', 'gzip', '\x1f\x8b\x08\x00'],
    ['bad_method', 'NUL bytes', '\0\0\0\0'],
    ['bad_method', 'UTF-8 byte order mark', `\xef\xbb\xbf${get('/mcp')}`],
    ['bad_method', 'UTF-16', 'G\0E\0T\0 \0/\0'],
    ['bad_method', 'a chunk', `5${CRLF}hello${CRLF}`],
    ['bad_method', 'a field first', `Host: example.test${CRLF}${CRLF}`],
];
for (const [reason, why, raw] of ALIEN)
    refuse('alien', reason, why, raw);

// ---- what must pass --------------------------------------------------------------------------

const JSON_BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
const length = (body) => line(`Content-Length: ${body.length}`);

accept('the smallest request', get('/mcp'));
accept('the root', get('/'));
accept('POST with a counted body', post(line('Content-Type: application/json') + length(JSON_BODY), JSON_BODY));
accept('POST with Content-Length: 0', post(line('Content-Length: 0')));
accept('POST without a body', post(''));
accept('GET with a counted body', get('/mcp', HOST + length('hello')) + 'hello');
accept('leading zeros are digits', post(line('Content-Length: 0005'), 'hello'));
accept('binary bytes in a counted body', post(length('\0\r\n\n\xff'), '\0\r\n\n\xff'));
accept('a request as a counted body is data', post(length(SMUGGLED), SMUGGLED));
accept('chunked', chunked(`5${CRLF}hello${CRLF}6${CRLF} world${CRLF}${LAST}`));
accept('chunked in upper case', post(line('TRANSFER-ENCODING: CHUNKED'), `A${CRLF}0123456789${CRLF}${LAST}`));
accept('chunk sizes in both cases', chunked(`a${CRLF}0123456789${CRLF}B${CRLF}0123456789a${CRLF}${LAST}`));
accept('a chunk size of 16 digits', chunked(`0000000000000005${CRLF}hello${CRLF}0000${CRLF}${CRLF}`));
accept('an empty chunked body', chunked(LAST));
accept('chunk framing as chunk data', chunked(`7${CRLF}0\r\n\r\n\r\n${CRLF}${LAST}`));
accept('chunked with GET', get('/mcp', HOST + CHUNKED) + LAST);
accept('no blank behind the colon', post('Transfer-Encoding:chunked\r\n', LAST));
accept('many blanks behind the colon', post('Transfer-Encoding: \t chunked\r\n', LAST));
accept('blanks around a value', get('/mcp', 'Host:\t example.test \t\r\nX:  a b\t\r\n'));
accept('an empty value', withField(line('X:') + line('Y: ')));
accept('bytes above 0x7f in a value', withField(line(`X: ${utf8('Zoë')}\xff`)));
accept('every token byte in a name', withField(line('!#$%&\'*+-.^_`|~09azAZ: x')));
accept('HTTP/1.0 without Host', `GET /mcp HTTP/1.0${CRLF}${CRLF}`);
accept('HTTP/1.0 with Host', `GET /mcp HTTP/1.0${CRLF}${HOST}${CRLF}`);
accept('HTTP/1.0 with a counted body', `POST /mcp HTTP/1.0${CRLF}${length('hello')}${CRLF}hello`);
accept('HTTP/1.0 with keep-alive', `GET /mcp HTTP/1.0${CRLF}${line('Connection: keep-alive')}${CRLF}`);
for (const host of ['localhost', 'a', 'a.b.c', 'A.TEST', 'example.test:1', 'example.test:65535', 'a_b:80',
    'example.test.', '127.0.0.1:8080', '[::1]', '[::1]:8080', '[2001:db8::7:1]', '[::ffff:1.2.3.4]:80',
    'xn--bcher-kva.test', '1a.test', '1.test', `${'a'.repeat(63)}.test`, `${'a.'.repeat(126)}b`])
    accept(`Host: ${show(host)}`, get('/mcp', line(`Host: ${host}`)));
for (const target of ['/mcp/', '/mcp?', '/mcp?a=b&c=d', '/mcp?a=/../..//%2e%2e%2f?:@', '/a.b/..c/c../...',
    '/a-b_c~d!$&\'()*+,;=:@', '/%41%C3%A9%20%25', '/mcp;v=1', '/a;..', '/.well-known/oauth-protected-resource',
    '/mcp?%0d%0a', '/a:b@c', '/%252e%252e/'])
    accept(`target ${target}`, get(target));
accept('OPTIONS *', `OPTIONS * HTTP/1.1${CRLF}${HOST}${CRLF}`);
accept('a preflight', `OPTIONS /mcp HTTP/1.1${CRLF}${HOST}${line('Origin: https://app.test')}` +
    `${line('Access-Control-Request-Method: POST')}${CRLF}`);
accept('DELETE with a session', `DELETE /mcp HTTP/1.1${CRLF}${HOST}${line('Mcp-Session-Id: 1-a')}${CRLF}`);
accept('an unusual method', `M-SEARCH /mcp HTTP/1.1${CRLF}${HOST}${CRLF}`);
accept('a method of 32 bytes', `${'M'.repeat(32)} /mcp HTTP/1.1${CRLF}${HOST}${CRLF}`);
accept('a lower-case method is a token', `get /mcp HTTP/1.1${CRLF}${HOST}${CRLF}`);
accept('Expect: 100-continue', post(line('Expect: 100-Continue') + length('hello'), 'hello'));
accept('two Authorization fields are answered elsewhere',
    withField(line('Authorization: Bearer a') + line('Authorization: Bearer b')));
accept('repeated list fields', withField(line('Accept: a/b') + line('Accept: c/d') + line('X: 1').repeat(3)));
accept('Upgrade is ignored', withField(line('Connection: Upgrade') + line('Upgrade: websocket')));
accept('TE and Connection', withField(line('TE: trailers') + line('Connection: TE, close')));
accept('an underscore in another name', withField(line('X_Custom_Name: y')));
accept('all MCP fields', post(line('Mcp-Session-Id: s') + line('MCP-Protocol-Version: 2026-07-28') +
    line('Mcp-Method: tools/call') + line('Mcp-Name: echo') + line('Last-Event-ID: 7') +
    line('Mcp-Param-Text: x') + length(JSON_BODY), JSON_BODY));
accept('two requests in one go', get('/mcp') + post(length(JSON_BODY), JSON_BODY));
accept('chunked behind another request', get('/mcp') + chunked(`5${CRLF}hello${CRLF}${LAST}`));
accept('a head of exactly the limit', headOf(HEAD_LIMIT));
accept('a target of exactly the limit', targetOf(TARGET_LIMIT));
accept('100 fields', fieldsOf(100));
accept('a field name of 1000 bytes', withField(line(`${'x'.repeat(1000)}: y`)));

// ---- writing ---------------------------------------------------------------------------------

const counts = new Map();
const text = `[\n${rows.map((row) => {
    const number = (counts.get(row.group) ?? 0) + 1;
    counts.set(row.group, number);
    return JSON.stringify({ id: `${row.group}-${number}`, ...row });
}).join(',\n')}\n]\n`;
const file = new URL('http-probes.json', import.meta.url);

if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
    console.log(`${rows.length} probes:`, Object.fromEntries(counts));
} else if (readFileSync(file, 'utf8') !== text) {
    console.error('http-probes.json is not what make-probes.mjs writes');
    process.exit(1);
}
