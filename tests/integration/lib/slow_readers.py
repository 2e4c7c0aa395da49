# SPDX-License-Identifier: Apache-2.0
"""Clients that take 1 KiB a second of their answers: slow_readers.py PORT N.

The first line of standard input is the request as base64. Each of the N clients sends it on a
connection of its own and reads by the clock from then on. Segments are as small as on Ethernet: with
those of loopback, the sockets' own buffers would take a MiB. Every further line is a command; its
answer is one line of JSON.

  counts  bytes that each client has read so far
  finish  every client in turn reads on as fast as it can: its status, the length of the body and its
          SHA-256, or what was wrong with the answer
  leave   all connections are closed
"""
import base64
import hashlib
import http.client
import io
import json
import select
import socket
import sys
import time

READ_BYTES = 256
PERIOD_S = READ_BYTES / 1024
SEGMENT_BYTES = 1448
TIMEOUT_S = 60


class Answer(io.RawIOBase):
    """What was read before, and then what the socket gives."""

    def __init__(self, begun, sock):
        super().__init__()
        self.begun = begun
        self.sock = sock

    def readable(self):
        return True

    def readinto(self, room):
        if not self.begun:
            return self.sock.recv_into(room)
        n = min(len(room), len(self.begun))
        room[:n] = self.begun[:n]
        self.begun = self.begun[n:]
        return n

    def makefile(self, *_args, **_options):  # what http.client asks of a socket
        return io.BufferedReader(self)


class Client:
    def __init__(self, port, request):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(request)
        self.sock.setblocking(False)
        self.taken = b""

    def take_some(self):
        try:
            self.taken += self.sock.recv(READ_BYTES)
        except BlockingIOError:
            pass

    def finish(self):
        self.sock.settimeout(TIMEOUT_S)
        try:
            answer = http.client.HTTPResponse(Answer(self.taken, self.sock), method="POST")
            answer.begin()
            body = answer.read()
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
        except (OSError, http.client.HTTPException) as fault:
            return {"fault": repr(fault)[:200]}
        digest = hashlib.sha256(body).hexdigest()
        return {"status": answer.status, "length": len(body), "sha256": digest}


def obey(command, clients):
    if command == "counts":
        return [len(client.taken) for client in clients]
    if command == "finish":
        return [client.finish() for client in clients]
    for client in clients:
        client.sock.close()
    return []


def main():
    port, n = int(sys.argv[1]), int(sys.argv[2])
    commands = open(0, "rb", buffering=0)  # what select() does not see must not be in a buffer
    request = base64.b64decode(commands.readline())
    clients = [Client(port, request) for _ in range(n)]
    due = time.monotonic()
    reading = True
    while True:
        wait = max(due - time.monotonic(), 0) if reading else None
        if select.select([commands], [], [], wait)[0]:
            command = commands.readline().decode().strip()
            if not command:
                return
            reading = reading and command == "counts"
            print(json.dumps(obey(command, clients)), flush=True)
        elif reading:
            due += PERIOD_S
            for client in clients:
                client.take_some()


main()
