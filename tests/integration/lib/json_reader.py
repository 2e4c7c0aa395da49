# SPDX-License-Identifier: Apache-2.0
"""What Python's json sees in JSON-RPC bodies: one body a line as base64 on standard input, one answer
a line as JSON on standard output.

  ok      json.loads() takes the bytes
  twice   an object has a key more than once
  calls   [method, name or null] of each request and notification
  folded  the same for a reader that takes keys without regard to case, the last one wins (Go's
          encoding/json)
"""
import base64
import json
import sys

NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
KNOWN = {
    "jsonrpc", "id", "method", "params", "result", "error", "name", "uri", "ref", "type",
    "_meta", "notifications", "resourceSubscriptions", "arguments",
}


class Refused(Exception):
    """Infinity and NaN, which Python writes and reads and JSON does not have."""


def no_constant(text):
    raise Refused(text)


def fold(key):
    """The known key that Go takes KEY for, or KEY itself."""
    text = key.replace("\u017f", "s").replace("\u212a", "k")
    for known in KNOWN:
        if len(text) == len(known) and text.lower() == known.lower() and text.isascii():
            return known
    return key


class Object:
    """An object as its pairs, so that no reading of it is lost."""

    def __init__(self, pairs):
        self.pairs = pairs

    def twice(self):
        keys = [key for key, _ in self.pairs]
        return len(set(keys)) < len(keys) or any(twice(value) for _, value in self.pairs)

    def get(self, name, folded):
        found = [value for key, value in self.pairs if (fold(key) if folded else key) == name]
        return found[-1] if found else None


def twice(value):
    if isinstance(value, Object):
        return value.twice()
    return isinstance(value, list) and any(twice(element) for element in value)


def member(value, name, folded):
    return value.get(name, folded) if isinstance(value, Object) else None


def names_of(method, params, folded):
    ref = member(params, "ref", folded)
    if method in NAMED_BY:
        return [member(params, NAMED_BY[method], folded)]
    if method == "completion/complete":
        prompt = member(ref, "type", folded) == "ref/prompt"
        return [member(ref, "name" if prompt else "uri", folded)]
    if method == "subscriptions/listen":
        notifications = member(params, "notifications", folded)
        return member(notifications, "resourceSubscriptions", folded) or [None]
    return [None]


def calls_of(value, folded):
    calls = []
    for message in value if isinstance(value, list) else [value]:
        method = member(message, "method", folded)
        if isinstance(method, str):
            params = member(message, "params", folded)
            calls += [[method, name] for name in names_of(method, params, folded)]
    return calls


def answer(body):
    try:
        value = json.loads(body, object_pairs_hook=Object, parse_constant=no_constant)
    except (ValueError, RecursionError, Refused) as error:
        return {"ok": False, "why": str(error)}
    return {
        "ok": True,
        "twice": twice(value),
        "calls": calls_of(value, False),
        "folded": calls_of(value, True),
    }


for line in sys.stdin:
    print(json.dumps(answer(base64.b64decode(line))), flush=True)
