#!/usr/bin/env python3
"""What idle and slow clients of the API cost a pipeline.

Runs a pipeline at a fixed rate on the embedded log, counts its records for a while, opens 10,000 connections that say
nothing and 1,000 that send a request byte by byte, and counts again. Those that the API closes are opened again.

    bench/connections.py target/debug/wasmill [--idle 10000] [--slow 1000] [--seconds 10]
"""

import argparse
import json
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PIPELINE = """
name = "numbers"
[sources.numbers]
type = "generator"
rate = 20000
[sinks.gone]
inputs = ["numbers"]
type = "blackhole"
"""


def delivered(api):
    with urllib.request.urlopen(f"http://{api}/v1/pipelines/numbers", timeout=10) as answer:
        return json.load(answer)["counters"]["records_delivered"]


def rate(api, seconds, ask=delivered):
    """Records a second. The API may turn the question away while it is full: it is asked again."""

    def now():
        while True:
            try:
                return ask(api), time.monotonic()
            except OSError:
                time.sleep(0.05)

    (before, began), _ = now(), time.sleep(seconds)
    after, ended = now()
    return (after - before) / (ended - began)


class Clients(threading.Thread):
    """Holds so many connections, and opens those again that are closed."""

    def __init__(self, address, idle, slow):
        super().__init__(daemon=True)
        self.address, self.wanted = address, {"idle": idle, "slow": slow}
        self.open = {"idle": set(), "slow": set()}
        self.opened = 0
        self.selector = selectors.DefaultSelector()

    def run(self):
        request = b"GET /v1/pipelines HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 10_000
        sent = {}
        while True:
            for kind, wanted in self.wanted.items():
                for _ in range(min(500, wanted - len(self.open[kind]))):
                    client = socket.socket()
                    client.setblocking(False)
                    try:
                        client.connect(self.address)
                    except BlockingIOError:
                        pass
                    self.selector.register(client, selectors.EVENT_READ, kind)
                    self.open[kind].add(client)
                    self.opened += 1
            for key, _ in self.selector.select(0.05):
                try:
                    gone = not key.fileobj.recv(4096)
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone:
                    self.selector.unregister(key.fileobj)
                    self.open[key.data].discard(key.fileobj)
                    sent.pop(key.fileobj, None)
                    key.fileobj.close()
            for client in self.open["slow"]:
                at = sent.get(client, 0)
                try:
                    client.send(request[at : at + 1])
                    sent[client] = at + 1
                except OSError:
                    pass


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("wasmill")
    args.add_argument("--idle", type=int, default=10_000)
    args.add_argument("--slow", type=int, default=1_000)
    args.add_argument("--seconds", type=float, default=10)
    args = args.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = args.idle + args.slow + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"so many connections need {needed} files, and the limit is {hard}: raise it with `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/numbers.toml", "w") as file:
            file.write(PIPELINE)
        command = [args.wasmill, "run", "numbers.toml", "--embedded", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            for line in process.stderr:
                if "the API is at http://" in line:
                    host, port = line.rsplit("http://", 1)[1].strip().rsplit(":", 1)
                    break
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            api = f"{host}:{port}"
            time.sleep(3)
            print(f"alone: {rate(api, args.seconds):,.0f} records/s")
            clients = Clients((host, int(port)), args.idle, args.slow)
            clients.start()
            time.sleep(5)
            beside = rate(api, args.seconds)
            held = {kind: len(open_) for kind, open_ in clients.open.items()}
            print(f"beside {held['idle']:,} idle and {held['slow']:,} slow connections: {beside:,.0f} records/s")
            print(f"connections opened in all: {clients.opened:,}")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
