# SPDX-License-Identifier: Apache-2.0
"""A service manager as small as can be: service_manager.py OPTIONS, a JSON object.

It does what systemd does for one service, by the documented protocols: opens the listening sockets
and hands them over from descriptor 3 on, listens on a notification socket, may ask for a watchdog's
beats, gives standard error a socket as the journal does, and starts the service again when it died.

  command    the service and its arguments
  listen     [{"port": 0 or PORT} or {"path": PATH, "mode": "666"}, with "listen": false: only bound], in order
  names      $LISTEN_FDNAMES
  count      $LISTEN_FDS is this instead of their number
  folder     where the notification socket is made; "@" in front: in the abstract name space
  watchdog   $WATCHDOG_USEC
  journal    standard error is a socket, and $JOURNAL_STREAM names it
  pid        $LISTEN_PID and $WATCHDOG_PID are this instead of the service's own
  env        further variables

Every line of standard output is an event in JSON, with "at", milliseconds of a steady clock. It ends,
and kills the service, when its standard input ends; a line "no restart" there says what it says.
"""
import json
import os
import selectors
import signal
import socket
import sys
import time


def say(event, **fields):
    print(json.dumps({"event": event, "at": time.monotonic() * 1000, **fields}), flush=True)


def open_socket(spec):
    if "path" in spec:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(spec["path"])
        if "mode" in spec:
            os.chmod(spec["path"], int(spec["mode"], 8))
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", spec.get("port", 0)))
    if spec.get("listen", True):
        made.listen(4096)
    return made


def open_notify(folder):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    path = folder + "/notify"
    made.bind("\0" + path[1:] if path[0] == "@" else path)
    return made, path


def environment(options, notify_path, n_sockets, stderr):
    env = dict(os.environ, NOTIFY_SOCKET=notify_path, **options.get("env", {}))
    pid = str(options.get("pid", os.getpid()))
    if n_sockets > 0:
        env.update(LISTEN_PID=pid, LISTEN_FDS=str(options.get("count", n_sockets)))
        if "names" in options:
            env["LISTEN_FDNAMES"] = options["names"]
    if "watchdog" in options:
        env.update(WATCHDOG_PID=pid, WATCHDOG_USEC=str(options["watchdog"]))
    if stderr is not None:
        status = os.fstat(stderr.fileno())
        env["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
    return env


def start(options, notify_path, sockets, stderr):
    pid = os.fork()
    if pid > 0:
        return pid
    # Copies far above, so that none is in the way of another; then from 3 on, without gaps.
    copies = [os.dup2(one.fileno(), 200 + i) for i, one in enumerate(sockets)]
    env = environment(options, notify_path, len(copies), stderr)
    if stderr is not None:
        os.dup2(stderr.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    for i, copy in enumerate(copies):
        os.dup2(copy, 3 + i)
        os.set_inheritable(3 + i, True)
    os.closerange(3 + len(copies), 300)
    os.execve(options["command"][0], options["command"], env)


def main():
    options = json.loads(sys.argv[1])
    sockets = [open_socket(spec) for spec in options.get("listen", [])]
    notify, notify_path = open_notify(options["folder"])
    journal = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM) if "journal" in options else None
    say("listening", ports=[s.getsockname()[1] if s.family == socket.AF_INET else None for s in sockets])
    restart = True
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, "stdin")
    selector.register(notify, selectors.EVENT_READ, "notify")
    if journal:
        selector.register(journal[0], selectors.EVENT_READ, "journal")

    def launch():
        child = start(options, notify_path, sockets, journal[1] if journal else None)
        process = os.pidfd_open(child)
        selector.register(process, selectors.EVENT_READ, "process")
        say("started", pid=child)
        return child, process

    child, process = launch()
    while True:
        for key, _ in selector.select():
            if key.data == "stdin":
                if os.read(0, 4096) == b"":
                    if child:
                        os.kill(child, signal.SIGKILL)
                    return
                restart = False
                say("will not restart")
            elif key.data == "notify":
                message = notify.recv(8192).decode()
                fields = dict(line.split("=", 1) for line in message.rstrip("\n").split("\n"))
                say("notify", fields=fields)
            elif key.data == "journal":
                say("journal", text=journal[0].recv(65536).decode())
            elif key.data == "process":
                selector.unregister(process)
                os.close(process)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                say("exited", pid=child, status=status)
                child = None
                if restart:
                    child, process = launch()


main()
