# SPDX-License-Identifier: Apache-2.0
"""carrel run: exit status, standard streams, environment, identity, results."""

from harness import *

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BASE_ENV = {"PATH": PATH, "HOME": "/home/user", "LANG": "C.UTF-8"}


def environment(*options, env=None):
    r = run([*options, "env", "-0"], env=env).expect()
    return dict(item.split("=", 1) for item in r.stdout.split("\0") if item)


@case("the exit status is the command's own")
def exit_status():
    for status in (0, 1, 7, 124, 125, 126, 127, 128, 255):
        r = sh(f"exit {status}").expect(status)
        eq((r.stdout, r.stderr), ("", ""))
        eq((r.result["reason"], r.result["exit_code"], r.result["signal"]), ("exit", status, 0))


@case("a timeout gives status 124 and reason timeout")
def exit_timeout():
    r = run(["--timeout", "300ms", "sleep", "100"]).expect(124)
    eq((r.result["reason"], r.result["exit_code"]), ("timeout", 124))
    ok(300 <= r.result["wall_ms"] <= 300 + scaled(3000), r)


@case("what carrel itself cannot do gives status 125 and one line")
def exit_failed():
    r = run(["--rootfs", "/nonexistent", "true"]).expect(125)
    eq(r.stdout, "")
    matches(r.stderr, r"^carrel: run: [^\n]*/nonexistent[^\n]*\n$")
    eq(r.result["reason"], "start_failed")
    contains(r.stderr, r.result["error"])


@case("a command that cannot be executed gives status 126")
def exit_not_executable():
    for command in ("/etc/passwd", "/usr"):
        r = run([command]).expect(126)
        matches(r.stderr, rf"^carrel: run: [^\n]*{command}[^\n]*\n$")
        eq((r.result["reason"], r.result["exit_code"]), ("start_failed", 126))


@case("a command that is not found gives status 127")
def exit_not_found():
    for command in ("no-such-command", "/no/such/command"):
        r = run([command]).expect(127)
        matches(r.stderr, rf"^carrel: run: [^\n]*{command}[^\n]*\n$")
        eq((r.result["reason"], r.result["exit_code"]), ("start_failed", 127))


@case("death by a signal gives 128 plus its number")
def exit_signal():
    for sig in (signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT):
        r = sh(f"kill -{int(sig)} $$").expect(128 + sig)
        eq((r.result["reason"], r.result["signal"]), ("signal", int(sig)))
        eq(r.result["oom"], False)


@case("out of memory gives 137 and reason oom")
def exit_oom():
    # Pages of programs are charged to whoever reads them first. If that is the sandbox, the kernel
    # takes them back and reads them again for as long as it likes, before it calls that no memory.
    subprocess.run(["sh", "-c", "exec tail /dev/null"], check=True)
    r = run(["-m", "16m", "sh", "-c", "exec tail /dev/zero"]).expect(137)
    eq((r.result["reason"], r.result["oom"]), ("oom", True))


@case("1 MiB of binary data passes through stdin and stdout unchanged")
def binary_streams():
    data = bytes(range(256)) * 4096
    r = run(["cat"], input=data).expect()
    eq(len(r.stdout_bytes), len(data))
    ok(r.stdout_bytes == data, "data differs")


@case("stderr is not mixed with stdout")
def separate_streams():
    r = sh("echo out; echo err >&2").expect()
    eq((r.stdout, r.stderr), ("out\n", "err\n"))


@case("stdin at its end is an end for the command")
def stdin_end():
    eq(run(["wc", "-c"], input=b"").expect().stdout.strip(), "0")


@case("the environment is exactly the defaults, nothing of the caller's", ids=["E-47"])
def default_environment():
    caller = dict(os.environ, SECRET_API_KEY="x", LD_LIBRARY_PATH="/x", PYTHONPATH="/x", IFS="y", LC_ALL="C")
    eq(environment(env=caller), BASE_ENV)


@case("the loader's variables of the caller do not matter to carrel", ids=["E-09"])
def hostile_environment():
    caller = dict(os.environ, LD_PRELOAD="/nonexistent.so", GCONV_PATH="/x", LOCPATH="/x", PATH="/x", MALLOC_CHECK_="7")
    eq(environment(env=caller), BASE_ENV)


@case("-e sets, replaces and takes from the caller; a later one wins")
def environment_options():
    caller = dict(os.environ, FROM_CALLER="of the caller", TERM="t")
    got = environment(
        "-e", "A=1", "-e", "B=x=y z", "--env", "C=", "--env=D=4", "-eE=5", "-e", "A=2",
        "-e", "FROM_CALLER", "-e", "NOT_SET_ANYWHERE", "-e", "HOME=/tmp", env=caller,
    )
    eq(got, {**BASE_ENV, "A": "2", "B": "x=y z", "C": "", "D": "4", "E": "5",
             "FROM_CALLER": "of the caller", "HOME": "/tmp"})


@case("--env-file: comments, empty lines, values as they are, names from the caller")
def environment_file():
    w = Workspace()
    path = w.file("env", 'A=1\n\n# B=2\nC="quoted" $x\nFROM_CALLER\nD= 3 \nE=last')
    got = environment("--env-file", path, env=dict(os.environ, FROM_CALLER="yes"))
    eq(got, {**BASE_ENV, "A": "1", "C": '"quoted" $x', "FROM_CALLER": "yes", "D": " 3 ", "E": "last"})


@case("-e and --env-file follow each other in the order given")
def environment_order():
    w = Workspace()
    path = w.file("env", "A=file\n")
    eq(environment("-e", "A=1", "--env-file", path)["A"], "file")
    eq(environment("--env-file", path, "-e", "A=1")["A"], "1")


@case("PATH of the command's environment is where it is looked for")
def path_search():
    w = Workspace()
    w.file("tool", "#!/bin/sh\necho found\n", mode=0o755)
    eq(run([*w.options(), "-e", "PATH=/workspace:/usr/bin", "tool"]).expect().stdout, "found\n")
    run([*w.options(), "tool"]).expect(127)


@case("the working directory is /, with a workspace /workspace, with -w what it says")
def working_directory():
    w = Workspace()
    w.dir("sub")
    eq(run(["pwd"]).expect().stdout, "/\n")
    eq(run([*w.options(), "pwd"]).expect().stdout, "/workspace\n")
    eq(run([*w.options(), "-w", "/tmp", "pwd"]).expect().stdout, "/tmp\n")
    eq(run([*w.options(), "--workdir=/workspace/sub", "pwd"]).expect().stdout, "/workspace/sub\n")


@case("user ids are 1000:1000, or what -u says")
def user_ids():
    script = "id -u; id -g; id -G"
    eq(sh(script).expect().stdout.split(), ["1000", "1000", "1000"])
    for user, uid, gid in (("1", "1", "1"), ("7:8", "7", "8"), ("65534:1", "65534", "1"), ("65534", "65534", "65534")):
        eq(sh(script, "-u", user).expect().stdout.split(), [uid, gid, gid], user)


@case("/etc/passwd knows the user")
def user_name():
    eq(sh("id -un; id -gn; echo ~; test -O ~ && test -w ~", "-u", "4321:55").expect().stdout,
       "user\nuser\n/home/user\n")


@case("the hostname is carrel, or what --hostname says")
def host_name():
    eq(sh("uname -n; cat /etc/hostname").expect().stdout, "carrel\ncarrel\n")
    r = sh("uname -n; cat /etc/hostname; grep -c box-1.example /etc/hosts", "--hostname", "box-1.example").expect()
    eq(r.stdout, "box-1.example\nbox-1.example\n2\n")
    name = "a" * 64
    eq(sh("uname -n", "--hostname", name).expect().stdout, name + "\n")


@case("limits of a process: nofile 4096, no core dump, and what --ulimit says", ids=["E-17"])
def ulimits():
    limits = sh("cat /proc/self/limits").expect().stdout
    matches(limits, r"Max open files +4096 +4096 ")
    matches(limits, r"Max core file size +1 +1 ")
    limits = sh("cat /proc/self/limits", "--ulimit", "nofile=100:200", "--ulimit", "stack=1048576",
                "--ulimit", "cpu=7", "--ulimit", "fsize=4096").expect().stdout
    matches(limits, r"Max open files +100 +200 ")
    matches(limits, r"Max stack size +1048576 +1048576 ")
    matches(limits, r"Max cpu time +7 +7 ")
    matches(limits, r"Max file size +4096 +4096 ")


@case("--ulimit raises hard limits above the caller's, or says that it cannot")
def ulimit_raised():
    def lower():
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    r = run(["--ulimit", "nofile=8192", "sh", "-c", "ulimit -n; ulimit -Hn"], preexec=lower)
    capabilities = int(re.search(r"CapEff:\t(\w+)", read("/proc/self/status"))[1], 16)
    if capabilities & 1 << 24:  # CAP_SYS_RESOURCE
        eq(r.expect().stdout, "8192\n8192\n")
    else:
        matches(r.expect(125).stderr, r"^carrel: run: [^\n]*nofile[^\n]*\n$")
        eq(r.stdout, "")


@case("labels are repeated in the result")
def labels():
    r = run(["--label", "a=1", "--label", "empty=", "--label", "bare", "--label", "x=y=z", "true"]).expect()
    eq(r.result["labels"], {"a": "1", "empty": "", "bare": "", "x": "y=z"})


KEYS = {
    "reason", "exit_code", "signal", "wall_ms", "cpu_user_ms", "cpu_sys_ms", "mem_peak", "pids_peak",
    "oom", "truncated", "id_base", "id_mapping", "error", "labels", "network", "denials",
    "denials_lost",
}


@case("the result has every key, also when nothing was started")
def result_keys():
    good = sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").expect()
    eq(set(good.result), KEYS)
    ok(good.result["cpu_user_ms"] > 0 and good.result["wall_ms"] > 0, good)
    ok(here.id_first <= good.result["id_base"] < here.id_first + ID_RANGES * ID_RANGE, good)
    ok(good.result["pids_peak"] >= 0 and good.result["mem_peak"] >= 0, good)
    eq((good.result["error"], good.result["oom"], good.result["truncated"]), ("", False, False))
    bad = run(["no-such-command"]).expect(127)
    eq(set(bad.result), KEYS)
    contains(bad.result["error"], "no-such-command")


@case("--result-file holds the same as --result-fd, in one line, and replaces what was there")
def result_file():
    path = os.path.join(here.directory, "result")
    for content in (None, "x" * 100000):
        if content:
            with open(path, "w") as f:
                f.write(content)
        r = run(["--result-file", path, "sh", "-c", "exit 3"]).expect(3)
        eq(json.loads(read(path)), r.result)
        eq(read(path).count("\n"), 1)


@case("the result's descriptor is not the command's")
def result_fd_closed():
    eq(sh("ls /proc/self/fd").expect().stdout.split(), ["0", "1", "2", "3"])


@case("options end at the first word that is none")
def options_end():
    eq(run(["echo", "-u", "0", "--", "--timeout"]).expect().stdout, "-u 0 -- --timeout\n")
    eq(run(["--", "echo", "--", "-x"]).expect().stdout, "-- -x\n")
    eq(run(["-u", "5", "--", "id", "-u"]).expect().stdout, "5\n")
    eq(run(["-i", "echo", "a b", "", "c"]).expect().stdout, "a b  c\n")
    run(["--", "--help"]).expect(127)


@case("switches may be written together and values attached")
def options_written():
    eq(run(["-iu5:6", "-e", "A=1", "id", "-g"]).expect().stdout, "6\n")


@case("a process in the background ends with the command", ids=["E-39", "E-48"])
def background():
    w = Workspace()
    script = "(setsid sh -c 'sleep 0.1; sh -c \"while :; do date >>/workspace/alive; sleep 0.05; done\" &' &) ; sleep 0.1; echo done"
    r = sh(script, *w.options()).expect()
    eq(r.stdout, "done\n")
    before = os.path.getsize(w / "alive") if os.path.exists(w / "alive") else 0
    time.sleep(scaled(0.3))
    after = os.path.getsize(w / "alive") if os.path.exists(w / "alive") else 0
    eq(after, before, "size of what the background process writes")


@case("a process in the background that holds stdout does not delay the return", ids=["E-39"])
def background_output():
    r = sh("setsid sleep 1000 & setsid nohup sleep 1000 </dev/null & echo hi").expect()
    eq(r.stdout, "hi\n")
    ok(r.seconds < scaled(3), f"took {r.seconds:.1f} s")


@case("the umask is 022 and signals are as new, whatever the caller's are")
def inherited_state():
    def spoil():
        os.umask(0o077)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD])

    r = run(["sh", "-c", "umask; grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 4"], preexec=spoil).expect(4)
    eq(r.stdout.split(), ["0022", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16])


@case("a caller that ignores SIGCHLD still gets the exit status")
def sigchld_ignored():
    r = run(["sh", "-c", "exit 9"], preexec=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    r.expect(9)


@case("python, bash and gcc-like work of pipes, threads and /dev/shm runs")
def real_work():
    code = (
        "import threading, multiprocessing, subprocess, tempfile, os, socket\n"
        "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
        "q = multiprocessing.Queue(); p = multiprocessing.Process(target=q.put, args=(42,)); p.start()\n"
        "assert q.get() == 42; p.join()\n"
        "assert subprocess.check_output('echo hi | tr h H', shell=True) == b'Hi\\n'\n"
        "open(tempfile.mktemp(), 'w').write('x')\n"
        "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname())\n"
        "print('fine')\n"
    )
    eq(python(code).expect().stdout, "fine\n")


@case("the network is a loopback interface alone")
def network_none():
    r = sh("cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; cat /proc/net/route | wc -l", "--network", "none").expect()
    eq(r.stdout.split(), ["lo", "1"])


@case("version and help are on stdout, with status 0")
def version_and_help():
    matches(carrel(["version"]).expect().stdout, r"^carrel \d+\.\d+\.\d+\n$")
    contains(carrel(["--help"]).expect().stdout, "Usage: carrel COMMAND")
    contains(carrel(["help"]).expect().stdout, "run")
    r = run(["--help"], result=False).expect()
    contains(r.stdout, "--workspace")
    eq(r.stderr, "")
