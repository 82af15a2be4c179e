# SPDX-License-Identifier: Apache-2.0
"""Random operations of several clients on real kernels, against a model of a few lines."""

import random

from daemon import Daemon, Refused
from harness import *

CLIENTS = (4101, 4102, 4103)
NAMES = ("a", "b", "c", "d")


class Model:
    """What one client's sandboxes must be: {name: "running", "paused" or "stopped"}."""

    def __init__(self):
        self.states, self.generations = {}, {}

    def start(self, name):
        if self.states.get(name) not in ("running", "paused"):
            self.generations[name] = self.generations.get(name, 0) + 1
            self.states[name] = "running"

    def ensure(self, name):
        created = name not in self.states
        self.start(name)
        return created

    def forget(self, name):
        del self.states[name], self.generations[name]


def expect_refusal(error, function, *args, **kw):
    try:
        function(*args, **kw)
    except Refused as e:
        eq(e.name, error)
        return
    raise AssertionError(f"{error} was expected")


def one(rng, c, model):
    name = rng.choice(NAMES)
    state = model.states.get(name)
    operation = rng.choices(
        ("ensure", "exec", "stop", "remove", "force", "pause", "unpause", "touch", "list", "reap"),
        (30, 30, 8, 5, 5, 6, 8, 5, 10, 1),
    )[0]
    if operation == "ensure":
        eq(c.call("Ensure", name=name)["created"], model.ensure(name), f"{name} made")
    elif operation == "list":
        found = {s["name"]: (s["state"], s["generation"]) for s in c.call("List", all=True)["sandboxes"]}
        eq(found, {n: (s, model.generations[n]) for n, s in model.states.items()}, "list")
    elif operation == "reap":
        idle = sum(s != "stopped" for s in model.states.values())
        eq(c.call("Reap")["stopped"], idle, "reaped")
        for n in model.states:
            model.states[n] = "stopped"
            c.call("Stop", name=n, grace=0)
    elif state is None:
        method = {"exec": "Exec", "stop": "Stop", "remove": "Remove", "force": "Remove", "pause": "Pause",
                  "unpause": "Unpause", "touch": "Touch"}[operation]
        more = {"Exec": {"argv": ["true"]}}.get(method, {})
        expect_refusal("NoSuchSandbox", c.call, method, name=name, **more)
    elif operation == "exec" and state == "paused":
        expect_refusal("WrongState", c.call, "Exec", name=name, argv=["true"])
    elif operation == "exec":
        code = rng.randrange(256)
        eq(c.call("Exec", name=name, argv=["sh", "-c", f"exit {code}"])["result"]["exit_code"], code)
        model.start(name)
    elif operation == "stop":
        c.call("Stop", name=name, grace=0)
        model.states[name] = "stopped"
    elif operation == "remove" and state != "stopped":
        expect_refusal("WrongState", c.call, "Remove", name=name)
    elif operation in ("remove", "force"):
        c.call("Remove", name=name, force=operation == "force")
        model.forget(name)
    elif operation == "pause" and state == "stopped":
        expect_refusal("WrongState", c.call, "Pause", name=name)
    elif operation == "pause":
        c.call("Pause", name=name)
        model.states[name] = "paused"
    elif operation == "unpause" and state == "stopped":
        expect_refusal("WrongState", c.call, "Unpause", name=name)
    elif operation == "unpause":
        c.call("Unpause", name=name)
        model.states[name] = "running"
    elif operation == "touch":
        try:
            c.call("Touch", name=name)
        except Refused as e:
            eq((e.name, state), ("WrongState", "stopped"))


@case("10,000 random operations of three clients agree with a model, and nothing is left", ids=["E-60", "FI-00"], timeout=300)
def random_operations():
    count = 10000 if SCALE <= 1 else 300
    for seed in (4711, random.randrange(1 << 32)):
        print(f"  seed {seed}")
        rng = random.Random(seed)
        with Daemon() as d:
            clients = [(d.connect(uid=uid), Model()) for uid in CLIENTS]
            for i in range(count // 2):
                c, model = rng.choice(clients)
                try:
                    one(rng, c, model)
                except (AssertionError, Refused) as e:
                    raise AssertionError(f"operation {i}: {e}") from None
            d.remove_all(CLIENTS)
