# SPDX-License-Identifier: Apache-2.0
"""carrel policy: what check calls right is accepted, and what show says is in force."""

import ipaddress

from daemon import Daemon
from harness import *

RIGHT = "[limits]\nmemory = 64m\ncpus = 0.5\npids = 33\n[network]\ndeny = 203.0.114.0/24\nallow = none\n"


def write(name, text):
    path = os.path.join(here.directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


def policy(verb, *words, config=None, **kw):
    return carrel(["policy", verb, "--config", config or here.config, *words], **kw)


def shown(*words, **kw):
    """{setting: (value, where from)} of `policy show`, and the whole object."""
    r = policy("show", "--format", "json", *words, **kw).expect()
    whole = json.loads(r.stdout)
    return {k: (v["value"], v["from"]) for k, v in whole["settings"].items()}, whole


def one_line(r, pattern):
    r.expect(125)
    eq(r.stdout, "")
    matches(r.stderr, rf"^carrel: policy: {pattern}\n$")
    eq(r.stderr.count("\n"), 1, "lines of error")


@case("check says of each file whether carrel run would take it; a wrong one is named with its line")
def check_runs():
    right, wrong = write("right.conf", RIGHT), write("wrong.conf", "[limits]\n\nmemory = much\n")
    r = policy("check", right).expect()
    eq((r.stdout, r.stderr), (f"{right}: ok, a policy for carrel run\n", ""))
    start(["--policy", right, "true"]).wait().expect()
    why = rf"{re.escape(wrong)}:3: \[limits\] memory = much: expected a size such as 512m"
    one_line(policy("check", wrong), f"check: {why}")
    matches(start(["--policy", wrong, "true"]).wait().expect(125).stderr, f"^carrel: run: --policy: {why}\n$")
    r = policy("check", wrong, right, "/none/such", wrong).expect(125)
    eq(r.stdout, f"{right}: ok, a policy for carrel run\n")
    eq(r.stderr.count("\n"), 3, "a line for each that is wrong")
    rows = [json.loads(line) for line in policy("check", "--format", "json", right, wrong).expect(125).stdout.splitlines()]
    eq([(row["file"], row["ok"]) for row in rows], [(right, True), (wrong, False)])
    eq(rows[0]["error"], None)
    matches(rows[1]["error"], f"^{why}$")


@case("check refuses what is read without complaint and fails at every start: too many denials")
def check_use():
    many = "".join(f"203.0.{i // 128}.{i % 128 * 2}\n" for i in range(1025))
    file = write("many.conf", f"[network]\ndeny_file = {write('many.list', many)}\n")
    one_line(policy("check", file), rf"check: {re.escape(file)}: 1025 denied ranges[^\n]*")


@case("check reads profiles and clients as carreld would, in their place in policy.d")
def check_daemons():
    config = write("etc/carrel.conf", "[profile base]\nmemory = 1g\n")
    first = write("etc/policy.d/10.conf", "[profile first]\n")
    second = write("etc/policy.d/20.conf", "[client 7]\nprofiles = base, first\n")
    r = policy("check", first, second, config=config).expect()
    eq(r.stdout, "".join(f"{f}: ok, profiles and clients of carreld\n" for f in (first, second)))
    eq(policy("check", config=config).expect().stdout, f"{config}: ok, the configuration\n")
    eq(policy("check", config, config=config).expect().stdout, f"{config}: ok, the configuration\n")
    # Its name decides what has been read before it.
    early = write("new/05.conf", "[client 8]\nprofiles = first\n")
    why = rf'{re.escape(early)}:2: \[client 8\] profiles = first: no profile is called "first" up to here'
    one_line(policy("check", early, config=config), f"check: {why}")
    late = write("new/15.conf", "[client 8]\nprofiles = first\n")
    policy("check", late, config=config).expect()
    policy("check", write("new/30.conf", "[client x7]\nuser = 7\n"), config=config).expect(125)
    # What is wrong there is wrong for carreld too.
    os.rename(early, os.path.join(here.directory, "etc/policy.d/05.conf"))
    one_line(policy("check", config=config), r"check: [^\n]*/policy.d/05.conf:2: [^\n]*")


@case("check waits for no pipe, follows the rules on symbolic links, and survives any name", ids=["E-38"])
def check_strange():
    pipe = os.path.join(here.directory, "pipe")
    os.mkfifo(pipe)
    one_line(policy("check", pipe), r"check: [^\n]* is not a regular file")
    one_line(policy("check", here.directory), r"check: [^\n]* is not a regular file")
    link = os.path.join(here.directory, "link")
    os.symlink(write("target.conf", RIGHT), link)
    one_line(policy("check", link), r"check: [^\n]* symbolic link")
    name = write("a\x1b[2J\nb.conf", "")
    eq(policy("check", name).expect().stdout, f"{here.directory}/a\\x1b[2J\\x0ab.conf: ok, a policy for carrel run\n")
    policy("check", write("b.conf", "[limits]\nx\x1b[2J = 1\n")).expect(125)


@case("show FILE says what carrel run --policy FILE enforces, and where it comes from")
def show_file():
    file = write("right.conf", RIGHT)
    s, whole = shown(file)
    eq((whole["name"], whole["kind"]), (file, "policy"))
    eq(s["memory"], (64 << 20, f"{file}:2"))
    eq(s["cpus"], (0.5, f"{file}:3"))
    eq(s["pids"], (33, f"{file}:4"))
    eq(s["denied"], (["203.0.114.0/24"], f"{file}:6"))
    eq(s["may_allow"], ([], f"{file}:7"))
    eq(s["network_max"], ("egress", "default"))
    contains(policy("show", file).expect().stdout, f"{file}: a policy for carrel run\n")
    # A ceiling above what a run has anyway does not change it.
    generous = write("generous.conf", "[limits]\nmemory = 3g\n[network]\nnetwork = none\n")
    s, _ = shown(generous)
    eq(s["memory"], (512 << 20, "default"))
    eq(s["memory_max"], (3 << 30, f"{generous}:2"))
    eq(s["pids_max"], (None, "default"))
    eq(s["network_max"], ("none", f"{generous}:4"))
    one_line(policy("show", "./gone"), "open ./gone: No such file or directory")


@case("the limits and locks that show names are those of a process inside")
def show_is_true():
    s, _ = shown(write("right.conf", RIGHT))
    script = "ulimit -n; cat /proc/self/status; id -u; id -g; cat /proc/mounts"
    inside = start(["--policy", os.path.join(here.directory, "right.conf"), "sh", "-c", script]).wait().expect().stdout
    ulimits = dict(item.split("=") for item in s["ulimits"][0])
    eq(inside.splitlines()[0], ulimits["nofile"])
    for line in "CapEff CapPrm CapInh CapBnd CapAmb".split():
        contains(inside, f"{line}:\t{0:016x}\n")
    eq((s["capabilities"], s["no_new_privs"]), (([], "always"), (True, "always")))
    contains(inside, "NoNewPrivs:\t1\n")
    contains(inside, "Seccomp:\t2\n")
    contains(inside, "\n{}\n{}\n".format(*s["user"][0].split(":")))
    eq(s["tmpfs"], ([], "default"))
    eq(sorted(s["scratch"][0]["targets"]), ["/dev/shm", "/home/user", "/run", "/tmp"])
    for target in s["scratch"][0]["targets"]:
        matches(inside, rf"\nnone {target} tmpfs [^\n]*size={s['scratch'][0]['size'] // 1024 + 1024}k")
    eq(s["seccomp"][1], "always")
    ok(s["seccomp"][0]["allowed"] > 200, s["seccomp"])
    # More processes than it says are not to be had, so many are.
    code = ("import os, time\nn = 1\ntry:\n    while n < 200:\n        if not os.fork(): time.sleep(60)\n        n += 1\n"
            "except OSError: pass\nprint(n)")
    r = start(["--policy", os.path.join(here.directory, "right.conf"), "--timeout", "10s",
               "/usr/bin/python3", "-I", "-S", "-c", code]).wait().expect()
    eq(int(r.stdout), s["pids"][0])


@case("show lists the profiles with the files that they are from; the built-in one is marked")
def show_list():
    config = write("etc/carrel.conf", "[profile base]\nmemory = 1g\n")
    more = write("etc/policy.d/10.conf", "# more\n[profile base]\npids = 9\n[profile two]\nnetwork = egress\n")
    rows = [json.loads(line) for line in policy("show", "--format", "json", config=config).expect().stdout.splitlines()]
    eq([(row["name"], row["from"]) for row in rows],
       [("default", "default"), ("base", f"{config}:1, {more}:2"), ("two", f"{more}:4")])
    eq((rows[1]["memory"], rows[1]["pids"], rows[2]["network"]), (1 << 30, 9, "egress"))
    table = policy("show", config=config).expect().stdout.splitlines()
    eq([line.split()[0] for line in table], ["PROFILE", "default", "base", "two"])
    one_line(policy("show", "none-such", config=config), 'no profile is called "none-such"[^\n]*')
    one_line(policy("show", "a", "b", config=config), 'one word too many: "b"')
    one_line(carrel(["policy"]), "expected check or show")
    one_line(carrel(["policy", "list"]), '"list" is neither check nor show')
    write("etc/policy.d/20.conf", "[profile two]\nwarm = x\n")
    one_line(policy("show", config=config), r"[^\n]*/20.conf:2: \[profile two\] warm = x: [^\n]*")


@case("show NAME has every key of a profile, each with the lines that set it")
def show_profile():
    keys = {
        "memory = 1g": ("memory", 1 << 30), "cpus = 2.125": ("cpus", 2.125), "pids = unlimited": ("pids", None),
        "user = 7:8": ("user", "7:8"), "network = egress": ("network", "egress"), "ipv6 = yes": ("ipv6", True),
        "rootfs = /srv": ("rootfs", "/srv"), "dns = 9.9.9.9": ("dns", ["9.9.9.9"]),
        "deny = 203.0.114.5, 203.0.114.6": ("denied", ["203.0.114.5-203.0.114.6"]),
        "allow = 10.1.0.0/16:443": ("allowed", ["10.1.0.0/16:443"]), "env = A=b": ("env", ["A=b"]),
        "idle_timeout = 90s": ("idle_timeout", 90000), "max_duration = 2h": ("max_duration", 7200000),
        "freeze_after = 1m": ("freeze_after", 60000), "reclaim_after = never": ("reclaim_after", None),
        "warm = 3": ("warm", 3),
    }
    config = write("p.conf", "[profile full]\n" + "\n".join(keys) + "\ntmpfs = /x:size=1g\n[network]\n"
                   "deny = 203.0.115.0/24\nconnections = unlimited\n[client 7]\nprofiles = full\nmemory = 2g\nnetwork = none\n")
    s, whole = shown("full", config=config)
    for number, (line, (key, value)) in enumerate(keys.items(), 2):
        eq(s[key], (value, f"{config}:{number}"), line)
    eq(s["tmpfs"][0], ["/x:size=1g"])
    eq(s["scratch"][0]["size"], 5 * 64 << 20)
    contains(s["scratch"][0]["targets"], "/workspace")
    own = write("own.conf", "[profile own]\ntmpfs = /tmp, /run, /dev/shm, /home/user, /workspace\n")
    eq(shown("own", config=own)[0]["scratch"][0], {"targets": [], "size": 0})
    matches(policy("show", "own", config=own).expect().stdout, r"\nscratch +none ")
    eq(s["denied_by_host"][0], ["203.0.115.0/24"])
    eq(s["connections"][0], None)
    eq(s["connection_rate"], (200, "default"))
    eq(whole["clients"], [{"name": "7", "memory": 2 << 30, "cpu_milli": 4000, "pids": 4096, "network": "none"}])
    text = policy("show", "full", config=config).expect().stdout
    matches(text, r"\nidle_timeout +90s +\S+:\d+\n")
    matches(text, r"\ncpus +2\.125 ")
    matches(text, r"\nclient 7 +at most memory 2g, cpus 4, pids 4096, network none ")


@case("what show calls never reached holds private, local and metadata addresses, and no public one")
def show_denied():
    s, _ = shown("default")
    ranges = []
    for text in s["denied_always"][0]:
        ends = text.split("-")
        net = ipaddress.ip_network(ends[0]) if len(ends) == 1 else None
        ranges.append((net[0], net[-1]) if net else tuple(map(ipaddress.ip_address, ends)))

    def denied(text):
        address = ipaddress.ip_address(text)
        return any(a.version == address.version and a <= address <= b for a, b in ranges)

    for text in "10.0.0.1 127.0.0.1 169.254.169.254 192.168.1.1 172.16.0.1 224.0.0.1 ::1 fe80::1 fd00::1 ff02::1 4000::1".split():
        ok(denied(text), f"{text} is not said to be denied")
    for text in "1.1.1.1 8.8.8.8 2606:4700::1111".split():
        ok(not denied(text), f"{text} is said to be denied")
    eq(s["denied_always"][1], "always")


@case("show NAME is what carreld enforces on a sandbox of the profile", timeout=40)
def show_is_enforced():
    with Daemon("[profile default]\nmemory = 96m\npids = 77\ncpus = 0.25\n") as d:
        s, _ = shown("default", config=d.config)
        env = dict(os.environ, CARREL_HOST=f"unix://{d.socket}")
        carrel(["ensure", "a"], env=env).expect()
        inspected = json.loads(carrel(["inspect", "a"], env=env).expect().stdout)
        enforced = inspected[0]["HostConfig"] if isinstance(inspected, list) else inspected["HostConfig"]
        eq(enforced["Memory"], s["memory"][0])
        eq(enforced["PidsLimit"], s["pids"][0])
        eq(enforced["NanoCpus"], round(s["cpus"][0] * 1e9))


@case("completion offers the verbs, and profiles where they can stand")
def completion():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/completion/carrel.bash")

    def offered(*words):
        code = f'. {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _carrel; printf "%s\\n" "${{COMPREPLY[@]}}"'
        env = dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-c", code, "bash", "carrel", *words], env=env, cwd=here.directory,
                              capture_output=True, text=True, timeout=scaled(15), check=True)
        return done.stdout.split("\n")[:-1]

    write("a-policy.conf", "")
    eq(offered("policy", "c"), ["check"])
    eq(offered("policy", "check", "a-p"), ["a-policy.conf"])
    eq(offered("policy", "show", "./a-p"), ["./a-policy.conf"])
    contains(offered("policy", "show", "def"), "default")
