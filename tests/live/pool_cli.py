# SPDX-License-Identifier: Apache-2.0
"""The subcommands of carrel that ask carreld: ensure, exec, ps, …, top."""

import pty

from daemon import Daemon
from harness import *

USER = 1234


def environment(d):
    return dict(os.environ, CARREL_HOST=f"unix://{d.socket}")


def cli(d, *args, uid=0, **kw):
    """Runs `carrel ARGS` for that daemon, as that user."""
    wrapper = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return carrel(list(args), env=environment(d), wrapper=wrapper, **kw)


def begin(d, *args, **kw):
    """Starts `carrel ARGS`; gives a Running."""
    return start(list(args), raw=True, env=environment(d), **kw)


def names(d, *options):
    return cli(d, "ps", "-q", *options).expect().stdout.split()


def one_line(r, pattern):
    """Status 125 and one line of error that matches."""
    r.expect(125)
    matches(r.stderr, rf"^carrel: {pattern}\n$")
    eq(r.stderr.count("\n"), 1, "lines of error")


@contextlib.contextmanager
def sandbox(config="", name="a", options=()):
    with Daemon(config) as d:
        cli(d, "ensure", *options, name).expect()
        yield d


@case("ensure, ps, stop, ps -a, exec again, rm: the life of a sandbox as people type it", timeout=60)
def life():
    with Daemon() as d:
        eq(cli(d, "ensure", "--label", "k=v", "one").expect().stdout, "one\n")
        eq(cli(d, "ensure", "--label", "k=v", "one").expect().stdout, "one\n")
        r = cli(d, "ps").expect()
        heads, row = r.stdout.splitlines()
        eq(heads.split(), ["NAME", "ID", "STATUS", "PROFILE", "WORKSPACE", "EXECS", "CREATED"])
        matches(row, r"^one +carrel-\d+-\S+ +Up .* default +0 +.* ago$")
        listed = json.loads(cli(d, "ps", "--format", "json").expect().stdout)
        eq((listed["Names"], listed["State"], listed["Labels"]), ("one", "running", "k=v"))
        eq(cli(d, "stop", "-t", "0", "one").expect().stdout, "one\n")
        wait_until(lambda: names(d) == [], 10, "the end of it")
        eq(names(d, "-a"), ["one"])
        eq(cli(d, "exec", "one", "echo", "again").expect().stdout, "again\n")
        one_line(cli(d, "rm", "one"), 'rm: "one" is running')
        eq(cli(d, "rm", "-f", "one").expect().stdout, "one\n")
        eq(names(d, "-a"), [])
        one_line(cli(d, "rm", "one"), 'rm: no sandbox is called "one"')
        cli(d, "rm", "-f", "one").expect()


@case("other settings are a conflict that names the field; other errors are one clear line", timeout=40)
def errors():
    with sandbox(options=("-m", "64m")) as d:
        one_line(cli(d, "ensure", "-m", "65m", "a"), r'ensure: "a" exists with other settings: \w+')
        one_line(cli(d, "ensure", "--profile", "none-such", "b"), r"ensure: profile[^\n]*")
        one_line(cli(d, "ensure", "--workspace", "../x", "b"), r"ensure: workspace[^\n]*")
        one_line(cli(d, "kill", "a", "e-none"), r'kill: "a" has no exec "e-none"')
        one_line(cli(d, "exec", "nobody", "true"), 'exec: no sandbox is called "nobody"')
        one_line(cli(d, "exec", "a"), r"exec: expected NAME [^\n]*")
        one_line(cli(d, "exec", "a", b"\xff"), r"exec: an argument is not UTF-8[^\n]*")


@case("a daemon that is not there, or not for us, is one clear line")
def not_there():
    env = dict(os.environ, CARREL_HOST=f"unix://{here.directory}/none.sock")
    one_line(carrel(["ps"], env=env), "ps: carreld is not running: nobody listens on [^\n]*")
    one_line(carrel(["ps", "--host", "/x"]), "ps: --host: [^\n]*not of the form unix:///PATH")
    one_line(carrel(["top", "--host", "/x"]), "top: --host: [^\n]*not of the form unix:///PATH")
    listener = socket.socket(socket.AF_UNIX)
    path = os.path.join(here.work, "closed.sock")
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(1)
    wrapper = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    r = carrel(["ps", "--host", f"unix://{path}"], wrapper=wrapper)
    one_line(r, "ps: you may not use carreld: no permission on [^\n]*")


@case("exec: streams, exit status, environment, directory, user", timeout=40)
def exec_basics():
    with sandbox() as d:
        r = cli(d, "exec", "a", "sh", "-c", "echo out; echo err >&2; exit 7").expect(7)
        eq((r.stdout, r.stderr), ("out\n", "err\n"))
        eq(cli(d, "exec", "a", "--", "echo", "-n", "x").expect().stdout, "x")
        r = cli(d, "exec", "-e", "K=a b", "-w", "/tmp", "-u", "77:88", "a", "sh", "-c", 'echo "$K"; pwd; id -u; id -g')
        eq(r.expect().stdout, "a b\n/tmp\n77\n88\n")
        eq(cli(d, "exec", "a", "cat", input=b"lost").expect().stdout, "")
        data = os.urandom(300000)
        eq(cli(d, "exec", "-i", "a", "cat", input=data).expect().stdout_bytes, data)
        eq(cli(d, "exec", "a", "sh", "-c", "kill -9 $$").expect(137).stderr, "")
        matches(cli(d, "exec", "a", "no-such-command").expect(127).stderr, r"^carrel: exec: [^\n]*\n$")
        matches(cli(d, "exec", "a", "/etc/passwd").expect(126).stderr, r"^carrel: exec: [^\n]*\n$")


@case("exec --timeout ends the command and what it has started, with status 124", ids=["E-48"], timeout=40)
def exec_timeout():
    with sandbox() as d:
        script = "setsid sleep 1000 & setsid sh -c 'sleep 1001 & sleep 1002' & sleep 1003"
        r = cli(d, "exec", "--timeout", "500ms", "a", "sh", "-c", script).expect(124)
        ok(0.4 < r.seconds < scaled(5), r)
        eq(cli(d, "exec", "a", "sh", "-c", "ps -e -o args= | grep -c 'sleep 100[0-3]'").stdout, "0\n")


@case("exec --result-fd and --result-file write the result", timeout=40)
def exec_result():
    with sandbox() as d:
        path = os.path.join(here.directory, "result")
        read_end, write_end = os.pipe()
        cli(d, "exec", "--result-fd", str(write_end), "--result-file", path, "a",
            "sh", "-c", "exit 5", pass_fds=[write_end]).expect(5)
        os.close(write_end)
        with os.fdopen(read_end) as f:
            result = json.loads(f.read())
        eq(json.loads(read(path)), result)
        eq((result["reason"], result["exit_code"], result["signal"]), ("exit", 5, 0))
        for key in ("wall_ms", "cpu_user_ms", "cpu_sys_ms", "mem_peak", "pids_peak", "oom", "truncated"):
            ok(key in result, f"{key} is in {result}")
        # The command does not get the descriptor.
        r = cli(d, "exec", "a", "ls", "/proc/self/fd").expect()
        eq(r.stdout.split()[:3], ["0", "1", "2"])
        eq(len(r.stdout.split()), 4, "descriptors (one is ls's own)")


@case("what descriptors carreld refuses is carried by streams instead", ids=["E-56"], timeout=60)
def exec_streams():
    with sandbox() as d:
        with open("/dev/full", "wb") as full:
            matches(cli(d, "exec", "a", "echo", "x", stdout=full).expect(125).stderr, "No space left on device")
        with open("/dev/zero", "rb") as zero:
            r = cli(d, "exec", "-i", "a", "cat", stdin=zero)
            one_line(r, "exec: standard input has more than [^\n]*")
        directory = os.open(here.work, os.O_RDONLY)
        r = cli(d, "exec", "a", "sh", "-c", "echo out; echo err >&2; exit 3", stdout=subprocess.PIPE, stdin=directory)
        eq((r.status, r.stdout, r.stderr), (3, "out\n", "err\n"))
        os.close(directory)


@case("exec --max-output keeps head and tail, and says what was dropped", ids=["E-47"], timeout=60)
def exec_max_output():
    with sandbox() as d:
        script = "echo first; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last"
        r = cli(d, "exec", "--max-output", "4k", "a", "sh", "-c", script).expect()
        ok(r.stdout.startswith("first\n") and r.stdout.endswith("\nlast\n"), r)
        ok(len(r.stdout_bytes) <= 4096, f"{len(r.stdout_bytes)} bytes")
        dropped = int(matches(r.stderr, r"^carrel: exec: (\d+) bytes of output were dropped\n$")[1])
        eq(dropped + len(r.stdout_bytes), 1000012)
        r = cli(d, "exec", "--max-output", "4k", "--end-on-max-output", "a", "yes")
        ok(r.status != 0, r)
        contains(r.stderr, "more than --max-output")
        data = os.urandom(100000)
        r = cli(d, "exec", "-i", "--max-output", "1m", "a", "cat", input=data).expect()
        eq(r.stdout_bytes, data)


@case("signals to exec reach the command: TERM, INT, HUP, QUIT, USR1, USR2", timeout=60)
def exec_signals():
    with sandbox() as d:
        script = "for s in TERM INT HUP QUIT USR1 USR2; do trap \"echo got $s; exit 3\" $s; done; echo up; while :; do sleep 0.05; done"
        for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"):
            r = begin(d, "exec", "a", "sh", "-c", script)
            r.expect_output("up")
            r.send(getattr(signal, "SIG" + name))
            eq(r.wait().expect(3).stdout, f"up\ngot {name}\n")
        r = begin(d, "exec", "a", "sh", "-c", "echo up; exec sleep 100")
        r.expect_output("up")
        r.send(signal.SIGTERM)
        r.wait().expect(143)


@case("SIGKILL of exec cancels the command with all that it has started", ids=["E-48"], timeout=40)
def exec_killed():
    with sandbox() as d:
        r = begin(d, "exec", "a", "sh", "-c", "setsid sh -c 'sleep 2001 & sleep 2002' & echo up; sleep 2003")
        r.expect_output("up")
        r.send(signal.SIGKILL)
        r.process.wait()
        count = ["exec", "a", "sh", "-c", "ps -e -o args= | grep -c 'sleep 200[1-3]'"]
        wait_until(lambda: cli(d, *count).stdout == "0\n", 5, "end of all processes")


@case("a reader that goes away is the command's SIGPIPE", timeout=40)
def exec_broken_pipe():
    with sandbox() as d:
        for options in ("", "--max-output 1m"):
            script = f"{CARREL} exec {options} a yes | head -n1; echo ${{PIPESTATUS[0]}}"
            done = subprocess.run(
                ["bash", "-c", script], capture_output=True, text=True,
                timeout=scaled(15), check=True, env=environment(d),
            )
            eq(done.stdout, "y\n141\n", options)


@case("exec -d: id, execs, logs from an offset and following, wait, cancel", timeout=60)
def detached():
    with sandbox() as d:
        run_id = cli(d, "exec", "-d", "a", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done; echo e >&2; exit 3")
        exec_id = run_id.expect().stdout.strip()
        ok(exec_id, run_id)
        contains(cli(d, "execs", "-q", "a").expect().stdout, exec_id)
        eq(cli(d, "logs", "-f", "a", exec_id).expect().stdout, "1\n2\n3\n")
        eq(cli(d, "logs", "--offset", "2", "a", exec_id).expect().stdout, "2\n3\n")
        eq(cli(d, "logs", "--stderr", "a", exec_id).expect().stdout, "e\n")
        result = json.loads(cli(d, "wait", "--keep", "--format", "json", "a", exec_id).expect().stdout)
        eq((result["reason"], result["exit_code"]), ("exit", 3))
        eq(cli(d, "wait", "a", exec_id).expect().stdout, "3\n")
        one_line(cli(d, "wait", "a", exec_id), r'wait: "a" has no exec [^\n]*')
        long_id = cli(d, "exec", "-d", "a", "sleep", "100").expect().stdout.strip()
        cli(d, "kill", "-s", "TERM", "a", long_id).expect()
        eq(cli(d, "wait", "a", long_id).expect().stdout, "143\n")
        long_id = cli(d, "exec", "-d", "a", "sleep", "100").expect().stdout.strip()
        cli(d, "cancel", "a", long_id).expect()
        result = json.loads(cli(d, "wait", "--format", "json", "a", long_id).expect().stdout)
        eq(result["reason"], "cancelled")


class ExecTerminal(Terminal):
    """`carrel exec -t` on a terminal."""

    def __init__(self, d, *args, **kw):
        super().__init__(["exec", "-t", "a", *args], raw=True, env=dict(environment(d), TERM="xterm"), **kw)


@case("exec -t: a terminal with size, resize and TERM; the caller's is raw and then as before", timeout=60)
def terminal():
    with sandbox() as d:
        t = ExecTerminal(d, "bash", "-c", "trap 'stty size' WINCH; tty; echo $TERM; stty size; while :; do read -t 0.1 x </dev/zero; sleep 0.1; done", rows=33, columns=77)
        t.expect("/dev/pts/")
        t.expect("xterm")
        t.expect("33 77")
        ok(t.is_raw(), "not raw")
        t.resize(44, 99)
        os.kill(t.pid, signal.SIGWINCH)
        t.expect("44 99")
        t.running.send(signal.SIGTERM)
        t.wait().expect(143)
        ok(t.settings() == t.before, "settings were not restored")
        t = ExecTerminal(d, "cat")
        time.sleep(scaled(0.3))
        t.send("hello\r")
        t.expect("hello\r\nhello\r\n")
        t.send("\x04")
        t.wait().expect()
        ok(t.settings() == t.before, "settings were not restored")
        one_line(cli(d, "exec", "-t", "a", "true"), "exec: --tty: standard input is not a terminal")


@case("exec -t restores the terminal when the sandbox is stopped and when the daemon dies", timeout=60)
def terminal_restored():
    with sandbox() as d:
        t = ExecTerminal(d, "sh", "-c", "echo up; sleep 100")
        t.expect("up")
        cli(d, "stop", "-t", "0", "a").expect()
        r = t.wait()
        ok(r.status != 0, r)
        ok(t.settings() == t.before, "settings after the stop")
        t = ExecTerminal(d, "sh", "-c", "echo up; sleep 100")
        t.expect("up")
        d.kill()
        r = t.wait().expect(125)
        contains(r.stdout, "carreld has closed the connection")
        ok(t.settings() == t.before, "settings after the daemon's death")


@case("ps, inspect, stats, events, info and metrics show the sandbox", timeout=60)
def looks():
    with sandbox(options=("-m", "64m", "--pids-limit", "50")) as d:
        watcher = begin(d, "events")
        (found,) = json.loads(cli(d, "inspect", "a").expect().stdout)
        eq((found["Name"], found["State"]["Running"]), ("a", True))
        eq(found["HostConfig"]["Memory"], 64 << 20)
        r = cli(d, "inspect", "a", "b").expect(125)
        eq(len(json.loads(r.stdout)), 1)
        heads, row = cli(d, "stats").expect().stdout.splitlines()
        matches(heads, r"^NAME +CPU % +MEM USAGE / LIMIT +MEM % +NET I/O +PIDS +EXECS$")
        matches(row, r"^a +\d+\.\d% +\S+ / 64MiB ")
        eq(json.loads(cli(d, "stats", "--format", "json", "a").expect().stdout)["Name"], "a")
        contains(cli(d, "info").expect().stdout, "default")
        contains(cli(d, "metrics").expect().stdout, "# TYPE")
        cli(d, "pause", "a").expect()
        contains(cli(d, "ps").expect().stdout, "(Paused)")
        cli(d, "unpause", "a").expect()
        cli(d, "touch", "a").expect()
        watcher.expect_output("unpause a")
        watcher.send(signal.SIGTERM)
        watcher.process.wait()
        contains(watcher.stdout, "pause a")
        matches(cli(d, "reap").expect().stdout, r"^stopped: \d+\n$")
        matches(cli(d, "shutdown", "--rm").expect().stdout, r"^stopped: \d+\n$")
        wait_until(lambda: names(d, "-a") == [], 10, "the end of all")


@case("control characters from inside reach no table, and no JSON but as escapes", ids=["E-38"], timeout=40)
def escapes():
    with sandbox() as d:
        exec_id = cli(d, "exec", "-d", "a", "sleep", "100;\x1b[31m\x9b\n").expect().stdout.strip()
        r = cli(d, "execs", "a").expect()
        ok("\x1b" not in r.stdout and r.stdout.count("\n") == 2, r)
        ok("\x1b" not in cli(d, "execs", "--format", "json", "a").expect().stdout)
        r = cli(d, "stop", "\x1b[2J")
        one_line(r, r"stop: [ -~]*")
        ok(exec_id)


@case("an ordinary user's `carrel run` goes through carreld and leaves nothing there", timeout=60)
def run_as_user():
    with Daemon() as d:
        r = cli(d, "run", "-e", "K=v", "--", "sh", "-c", "echo $K; pwd; id -u; exit 4", uid=USER).expect(4)
        eq(r.stdout, "v\n/\n1000\n")
        eq(cli(d, "run", "cat", uid=USER, input=b"through").expect().stdout, "through")
        for option in (("-v", "/usr:/x"), ("--workspace", "/tmp"), ("--rootfs", "/x/"), ("--ulimit", "nofile=9"), ("--tmpfs", "/x")):
            name = {"-v": "--volume"}.get(option[0], option[0])
            one_line(cli(d, "run", *option, "true", uid=USER), rf"run: {name} cannot be had of carreld[^\n]*")
        r = cli(d, "run", "--timeout", "300ms", "sleep", "100", uid=USER).expect(124)
        eq(cli(d, "ps", "-a", "-q", uid=USER).expect().stdout, "")
        # Root builds its own, as before, unless it names the socket.
        eq(cli(d, "run", "--config", here.config, "echo", "own").expect().stdout, "own\n")
        r = cli(d, "run", "--host", f"unix://{d.socket}", "--label", "a=b", "echo", "asked").expect()
        eq(r.stdout, "asked\n")


@case("`carrel run` through carreld leaves no sandbox when it is killed, amid the command or before", ids=["E-48"], timeout=60)
def run_killed():
    with Daemon() as d:
        for _ in range(3):
            r = begin(d, "run", "--host", f"unix://{d.socket}", "sleep", "1000")
            wait_until(lambda: "sleep" in {comm_of(p) for p in children(d.process.pid)}, 10, "the command")
            eq(len(names(d, "-a")), 1)
            os.kill(r.pid, signal.SIGKILL)
            wait_until(lambda: names(d, "-a") == [], 10, "the sandbox gone")
            r.process.wait()
        for i in range(10):
            r = begin(d, "run", "--host", f"unix://{d.socket}", "true")
            time.sleep(0.002 * i)
            os.kill(r.pid, signal.SIGKILL)
            r.process.wait()
        wait_until(lambda: names(d, "-a") == [] and not records(), 10, "all sandboxes gone")


@case("users see their own sandboxes alone", ids=["E-57"], timeout=40)
def users():
    with Daemon() as d:
        cli(d, "ensure", "mine", uid=USER).expect()
        eq(cli(d, "ps", "-q", uid=USER + 1).expect().stdout, "")
        for args in (("stop", "mine"), ("inspect", "mine"), ("exec", "mine", "true"), ("rm", "-f", "mine")):
            r = cli(d, *args, uid=USER + 1)
            ok("mine" not in r.stdout or args[0] == "rm", r)
        eq(cli(d, "ps", "-q", uid=USER).expect().stdout, "mine\n")
        cli(d, "rm", "-f", "mine", uid=USER).expect()


@case("top: over a pipe one table; on a terminal it sorts, filters, resizes and restores", timeout=60)
def top():
    with sandbox() as d:
        cli(d, "ensure", "bb").expect()
        r = cli(d, "top").expect()
        eq([line.split()[0] for line in r.stdout.splitlines()], ["NAME", "a", "bb"])
        for rows, columns in ((24, 80), (10, 40), (3, 20)):
            t = Terminal(["top"], raw=True, env=dict(environment(d), TERM="xterm"), rows=rows, columns=columns)
            t.expect("carrel top" if columns > 20 else "carrel")
            if rows == 24:
                t.expect("bb")
                for keys, size, text in (("m", (30, 100), "by memory"), ("/b\r", (26, 90), "by memory, with b ")):
                    t.send(keys)
                    time.sleep(scaled(0.3))
                    t.resize(*size)  # draws everything anew
                    os.kill(t.pid, signal.SIGWINCH)
                    t.expect(text)
            t.send("q")
            t.wait().expect()
            ok(t.settings() == t.before, "settings were not restored")
        t = Terminal(["top"], raw=True, env=dict(environment(d), TERM="xterm"))
        t.expect("carrel top")
        t.running.send(signal.SIGTERM)
        t.wait().expect(143)
        ok(t.settings() == t.before, "settings after SIGTERM")
        t = Terminal(["top"], raw=True, env=dict(environment(d), TERM="none-such"))
        matches(t.wait().expect(125).stdout, "carrel: top: this terminal cannot be used")


@case("completion offers commands, options and names, and runs nothing that a name holds", ids=["E-38"], timeout=40)
def completion():
    with sandbox() as d:
        marker = os.path.join(here.work, "ran")
        cli(d, "ensure", f"x$(touch {marker})").expect()
        cli(d, "ensure", "x y").expect()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/completion/carrel.bash")

        def offered(*words):
            code = f'. {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _carrel; printf "%s\\n" "${{COMPREPLY[@]}}"'
            env = dict(environment(d), PATH=f"{BUILD}:{os.environ['PATH']}")
            done = subprocess.run(["bash", "-c", code, "bash", "carrel", *words], env=env,
                                  capture_output=True, text=True, timeout=scaled(15), check=True)
            return done.stdout.split("\n")[:-1]

        eq(offered("ens"), ["ensure"])
        eq(offered("exec", "--tim"), ["--timeout"])
        eq(offered("exec", "--timeout", "5", "a"), ["a"])
        eq(len(offered("stop", "x")), 2)
        contains(offered("stop", "x"), "x\\ y")
        ok(not os.path.exists(marker), "a name was run")
        eq(offered("rootfs", "im"), ["import"])
        eq(offered("run", "--rootfs", "ho"), ["host"])
        contains(offered("run", "--rootfs", "/us"), "/usr")


@case("the client starts in a few milliseconds", timeout=40)
def quick():
    with sandbox() as d:
        times = []
        for _ in range(20):
            began = time.monotonic()
            cli(d, "touch", "a").expect()
            times.append(time.monotonic() - began)
        ok(sorted(times)[5] < scaled(0.1), times)
