#!/usr/bin/env python3
"""Data for the recommender, how good its answers are, and how fast.

    recommender.py data                writes ratings.ndjson, beside it held-out.json
    recommender.py recall              recall@10 of the three models on the held-out part
    recommender.py latency             how long answers take while 5,000 events a second arrive

Runs the real pipeline on the embedded log, its API at a free port, and asks that. Needs `wasmill` (on the
PATH, or named by WASMILL) and the plugins (`wasmill build plugins`).
"""

import argparse
import collections
import http.client
import json
import math
import os
import random
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = ("popularity", "items", "users")
DONE = "/v1/pipelines/recommender"


def data(args):
    """Users with tastes, items with a long tail, ratings in the order of time. The last likes of each user
    are held out. The same for the same seed."""
    rng = random.Random(args.seed)
    clusters = 20
    items = []  # cluster, weight
    for rank in range(args.items):
        items.append((rng.randrange(clusters), 1.0 / (rank + 10) ** 0.8))
    by_cluster = [[] for _ in range(clusters)]
    for number, (cluster, weight) in enumerate(items):
        by_cluster[cluster].append((number, weight))
    everything = [(number, weight) for number, (_, weight) in enumerate(items)]

    def pick(pool):
        return rng.choices([one for one, _ in pool], [weight for _, weight in pool])[0]

    events, held_out = [], {}
    for user in range(args.users):
        tastes = rng.sample(range(clusters), 3)
        count = min(400, max(20, int(rng.lognormvariate(math.log(60), 0.8))))
        seen, likes = [], []
        known = set()
        for _ in range(count * 3):
            if len(seen) == count:
                break
            taste = rng.choices(tastes, [5, 3, 2])[0]
            # Three of four ratings are of what one likes; the others are of what everybody has seen.
            item = pick(by_cluster[taste] if rng.random() < 0.75 else everything)
            if item in known:
                continue
            known.add(item)
            mean = 4.2 if items[item][0] in tastes else 2.8
            rating = min(5, max(1, round(rng.gauss(mean, 0.9))))
            seen.append((item, rating))
            if rating >= 3:
                likes.append(item)
        kept_out = set(likes[-max(1, len(likes) // 5):])
        held_out[f"u{user}"] = sorted(f"i{item}" for item in kept_out)
        for place, (item, rating) in enumerate(seen):
            if item not in kept_out:
                when = rng.random() * 0.2 + place / len(seen)
                events.append((when, {"user": f"u{user}", "item": f"i{item}", "rating": rating}))
    events.sort(key=lambda event: event[0])
    with open(os.path.join(args.dir, "ratings.ndjson"), "w", encoding="utf-8") as out:
        for _, event in events:
            out.write(json.dumps(event, separators=(",", ":")) + "\n")
    with open(os.path.join(args.dir, "held-out.json"), "w", encoding="utf-8") as out:
        json.dump(held_out, out)
    print(f"{len(events)} ratings of {args.users} users and {args.items} items, seed {args.seed}")
    return len(events), held_out


class Pipeline:
    """The pipeline in a process of its own."""

    def __init__(self, args, *more):
        command = [
            os.environ.get("WASMILL", "wasmill"), "run", os.path.join(HERE, "pipeline.toml"), "--embedded",
            "--no-watch", "--listen", "127.0.0.1:0",
            "--set", f"sources.ratings.path={os.path.join(os.path.abspath(args.dir), 'ratings.ndjson')}", *more,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if "the API is at http://" in line:
                self.address = line.rsplit("http://", 1)[1].strip()
                break
        else:
            sys.exit("the pipeline does not start:\n" + "".join(seen))
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        self.connection = None

    def ask(self, path):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address, timeout=30)
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status, body

    def json(self, path):
        status, body = self.ask(path)
        if status != 200:
            sys.exit(f"{path}: {status} {body.decode(errors='replace')}")
        return json.loads(body)

    def recommend(self, user, model, n=10):
        return self.json(f"{DONE}/query/recommend/recommendations/{user}?n={n}&model={model}")

    def counters(self):
        return self.json(DONE)["counters"]

    def until_quiet(self, events):
        """All ratings are processed: what they have caused, too."""
        before, since = None, time.monotonic()
        while True:
            counters = self.counters()
            now = (counters["records_read"], counters["records_written"], counters["commits"])
            if now != before:
                before, since = now, time.monotonic()
            elif counters["records_read"] >= events and time.monotonic() - since > 2:
                return counters
            if self.process.poll() is not None:
                sys.exit("the pipeline has ended")
            time.sleep(0.1)

    def end(self):
        self.process.terminate()
        self.process.wait()


def recall(args):
    events, held_out = data(args)
    started = time.monotonic()
    pipeline = Pipeline(args)
    try:
        counters = pipeline.until_quiet(events)
        took = time.monotonic() - started - 2
        print(f"trained on them in {took:.0f} s: {counters['records_read']} records read, pairs included")
        print(f"recall@10 on {sum(map(len, held_out.values()))} held-out likes:")
        for model in MODELS:
            hits = wanted = fallen_back = 0
            for user, likes in held_out.items():
                answer = pipeline.recommend(user, model)
                fallen_back += answer["model"] != model
                found = {one["item"] for one in answer["items"]}
                hits += len(found & set(likes))
                wanted += min(10, len(likes))
            print(f"  {model:<12}{hits / wanted:.4f}" + (f"  ({fallen_back} by popularity)" if fallen_back else ""))
    finally:
        pipeline.end()


def latency(args):
    args.users = max(args.users, 5000)  # Enough for all of the time: who rates the same again costs little.
    _, held_out = data(args)
    users = sorted(held_out)
    rng = random.Random(args.seed)
    pipeline = Pipeline(
        args, "--set", f"sources.ratings.rate={args.rate}", "--set", "sources.ratings.loop=true"
    )
    try:
        while pipeline.counters()["records_read"] < args.rate * 5:
            time.sleep(0.2)
        before, started = pipeline.counters(), time.monotonic()
        times = collections.defaultdict(list)
        deadline = started + args.seconds
        while time.monotonic() < deadline:
            model, user = rng.choice(MODELS), rng.choice(users)
            asked = time.perf_counter()
            pipeline.recommend(user, model)
            times[model].append((time.perf_counter() - asked) * 1000)
            # About as many as one web server asks for; not as many as there can be.
            time.sleep(0.005)
        took = time.monotonic() - started
        after = pipeline.counters()
        ingested = (after["records_ingested"] - before["records_ingested"]) / took
        read = (after["records_read"] - before["records_read"]) / took
        print(f"{ingested:.0f} events/s arrive ({read:.0f} records/s are processed), for {took:.0f} s")
        for model in MODELS:
            of = sorted(times[model])
            at = lambda part: of[min(len(of) - 1, int(len(of) * part))]
            print(f"  {model:<12}{len(of)} answers, p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, longest {of[-1]:.1f} ms")
    finally:
        pipeline.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["data", "recall", "latency"])
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dir", default=HERE, help="where the data are written")
    parser.add_argument("--rate", type=int, default=5000, help="events a second")
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    {"data": data, "recall": recall, "latency": latency}[args.what](args)


if __name__ == "__main__":
    main()
