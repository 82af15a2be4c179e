# SPDX-License-Identifier: Apache-2.0
"""carrel run -t: a terminal of the sandbox's own; without -t, none at all."""

from harness import *


@case("with -t, standard input, output and error are a terminal with a name")
def is_terminal():
    t = Terminal(["-t", "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && echo all; readlink /proc/self/fd/0; ls /dev/pts; stat -c %u:%a $(tty); echo x >/dev/tty; echo $TERM"],
                 env=dict(os.environ, TERM="xterm-test"))
    r = t.wait().expect()
    eq(r.stdout.replace("\r", "").split("\n"),
       ["/dev/pts/0", "all", "/dev/pts/0", "0  ptmx", "1000:620", "x", "xterm-test", ""])
    ok(t.settings() == t.before, "settings of the caller's terminal")


@case("the terminal inside is not the caller's", ids=["E-36"])
def not_the_callers():
    t = Terminal(["-t", "sh", "-c", "stat -c %d:%t:%T -L /proc/self/fd/0; ls -A /dev/pts"])
    r = t.wait().expect()
    st = os.stat(t.slave)
    ok(not r.stdout.startswith(f"{st.st_dev}:"), r.stdout)


@case("the size of the window is passed on, and its changes")
def window_size():
    t = Terminal(["-t", "bash", "-c", "trap 'stty size' WINCH; stty size; while :; do read -t 0.1 x </dev/zero; sleep 0.1; done"], rows=33, columns=77)
    t.expect(r"33 77")
    t.resize(44, 99)
    os.kill(t.pid, signal.SIGWINCH)
    t.expect(r"44 99")
    t.running.send(signal.SIGTERM)
    t.wait().expect(143)


@case("the caller's terminal is raw while the command runs and as before afterwards")
def raw_and_restored():
    for script, status in (("echo up; read x; exit 4", 4), ("echo up; read x; kill -9 $$", 137)):
        t = Terminal(["-t", "sh", "-c", script])
        t.expect("up")
        ok(t.is_raw(), "not raw")
        t.send("\r")
        t.wait().expect(status)
        ok(t.settings() == t.before, "settings were not restored")
        t.close()


@case("the terminal is restored when carrel is ended by a signal that it passes on, a timeout or an error")
def restored_otherwise():
    t = Terminal(["-t", "sh", "-c", "echo up; exec sleep 100"])
    t.expect("up")
    os.kill(t.pid, signal.SIGTERM)
    t.wait().expect(143)
    ok(t.settings() == t.before, "after SIGTERM")
    t = Terminal(["-t", "--timeout", "300ms", "sleep", "100"])
    t.wait().expect(124)
    ok(t.settings() == t.before, "after a timeout")
    for args, status in ((["no-such-command"], 127), (["-w", "/nonexistent", "true"], 125)):
        t = Terminal(["-t", *args])
        r = t.wait().expect(status)
        matches(r.stdout.replace("\r", ""), r"^carrel: run: [^\n]*\n$")
        ok(t.settings() == t.before, f"after {args}")


@case("Ctrl-C reaches the command and not carrel")
def interrupt():
    t = Terminal(["-t", "sh", "-c", "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.1; done"])
    t.expect("up")
    t.send("\x03")
    t.expect("caught")
    t.wait().expect(9)
    t = Terminal(["-t", "sh", "-c", "echo up; exec sleep 100"])
    t.expect("up")
    t.send("\x03")
    r = t.wait().expect(130)
    eq((r.result["reason"], r.result["signal"]), ("signal", 2))


@case("job control works in an interactive shell: Ctrl-Z, jobs, fg, Ctrl-C", timeout=30)
def job_control():
    t = Terminal(["-t", "bash", "--norc", "-i"])
    t.expect(r"\$ ")
    t.send("sleep 1000\r")
    time.sleep(scaled(0.3))
    t.send("\x1a")
    t.expect("Stopped")
    t.expect(r"\$ ")
    t.send("jobs\r")
    t.expect(r"Stopped +sleep 1000")
    t.send("fg\r")
    t.expect(r"sleep 1000\r\n")
    time.sleep(scaled(0.3))
    t.send("\x03")
    t.expect(r"\$ ")
    t.send("echo status=$?; exit 6\r")
    t.expect("status=130")
    t.wait().expect(6)
    ok("no job control" not in t.text(), t.text())


@case("what is typed reaches the command once, and end of file as such")
def typed():
    t = Terminal(["-t", "cat"])
    time.sleep(scaled(0.2))
    t.send("hello\r")
    t.expect("hello\r\nhello\r\n")
    t.send("\x04")
    t.wait().expect()


@case("output is complete at exit: 200 KiB and then the end", timeout=40)
def complete_output():
    t = Terminal(["-t", "sh", "-c", "i=0; while [ $i -lt 200 ]; do printf '%01023d\\n' $i; i=$((i+1)); done"])
    r = t.wait().expect()
    lines = r.stdout.replace("\r", "").splitlines()
    eq(len(lines), 200)
    eq([int(x) for x in lines], list(range(200)))
    t = Terminal(["-t", "head", "-c", "204800", "/dev/zero"])
    r = t.wait().expect()
    eq(len(r.stdout_bytes), 204800)


@case("what background processes hold of the terminal does not delay the return", ids=["E-39"])
def background():
    t = Terminal(["-t", "sh", "-c", "setsid sleep 1000 & sleep 1000 & echo hi"])
    r = t.wait().expect()
    contains(r.stdout, "hi")
    ok(r.seconds < scaled(4), r)


@case("a terminal that goes away ends the command")
def hang_up():
    t = Terminal(["-t", "sh", "-c", "echo up; exec sleep 100"])
    t.expect("up")
    os.close(t.slave)
    os.close(t.master)
    eq(t.running.process.wait(scaled(10)) in (129, 137), True, "status")


@case("-t without a terminal is one line and status 125")
def no_terminal():
    for stdin in (None, "pipe"):
        r = run(["-t", "true"], stdin=stdin).expect(125)
        matches(r.stderr, r"^carrel: run: --tty: [^\n]*not a terminal\n$")
        eq(r.stdout, "")


@case("without -t there is no controlling terminal, even if the caller's streams are one", ids=["E-36"])
def no_controlling_terminal():
    t = Terminal(["sh", "-c", "(: </dev/tty) 2>&1; ps -o tty= -p $$; setsid sh -c '(: </dev/tty) 2>&1'; exit 0"])
    r = t.wait().expect()
    eq(r.stdout.count("No such device or address"), 2, r.stdout)
    ok(t.settings() == t.before, "settings")


@case("keystrokes cannot be pushed into the caller's terminal", ids=["E-36"])
def no_injection():
    code = (
        "import fcntl, termios\n"
        "for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 32, 0x541C):\n"
        "    try: fcntl.ioctl(0, request & 0xffffffff, b'x'); print('pushed')\n"
        "    except OSError as e: print(e.errno)\n"
    )
    for options in ([], ["-t"]):
        t = Terminal([*options, "/usr/bin/python3", "-I", "-S", "-c", code])
        r = t.wait().expect()
        ok("pushed" not in r.stdout, r.stdout)
        t.close()
