# SPDX-License-Identifier: Apache-2.0
"""The Debian package: built, looked into, installed in a throw-away root and removed again;
and that carrel can do its job with no more than the units leave it."""

import hashlib

from harness import *
from netlab import *

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = os.path.join(TOP, "tools/systemd")
# What the package may need of others: nothing but what makes the group.
DEPENDS = "passwd"
# Scores of `systemd-analyze security`, times ten. The units explain what is missing.
EXPOSURE = {"carreld.service": 85, "carrel-sandboxes.service": 70}

# Moves into the directory $1, a mount point, for good, and runs the rest of the words.
# chroot(2) alone would not do: who is chrooted may not make user namespaces.
ENTER = """
cd "$1" && shift && pivot_root . mnt && exec chroot . /bin/sh -c '
umount -l /mnt && exec "$@"' sh "$@"
"""


def output(args, **kw):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=scaled(60), **kw)  # fmt: skip
    text = text_of(done.stdout)
    ok(done.returncode == 0, f"{args!r}: status {done.returncode}: {text[-3000:]}")
    return text


def need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


def build_package(name="deb"):
    """Path of a package in a directory of its own."""
    need("dpkg-deb")
    directory = os.path.join(here.directory, name)
    os.mkdir(directory)
    version = output([CARREL, "version"]).split()[-1]
    output([os.path.join(TOP, "tools/debian/build"), BUILD, version, directory])
    (file,) = os.listdir(directory)
    eq(file, f"carrel_{version}_amd64.deb", "name of the package")
    return os.path.join(directory, file)


def digest(path):
    return hashlib.sha256(read(path, binary=True)).hexdigest()


class Root:
    """A root directory in memory, seen in a mount namespace of the case's own: the host's
    /usr with a writable layer, the few files that accounts need, and a package database
    that knows DEPENDS alone."""

    def __init__(self):
        private_mounts()
        layers = os.path.join(here.directory, "layers")
        self.path = os.path.join(here.directory, "root")
        self.upper = os.path.join(layers, "upper")
        for path in (layers, self.path):
            os.mkdir(path)
            mount("tmpfs", path, "tmpfs", 0, "mode=755")
        self._make_tree(layers)
        self._make_database()

    def at(self, path):
        return self.path + path

    def _make_tree(self, layers):
        for name in ("etc", "usr", "proc", "sys", "dev", "run", "tmp", "mnt", "root", "var/log", "var/lib"):
            os.makedirs(self.at("/" + name))
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{name}", self.at("/" + name))
        for path in (self.upper, f"{layers}/work"):
            os.mkdir(path)
        mount("overlay", self.at("/usr"), "overlay", 0, f"lowerdir=/usr,upperdir={self.upper},workdir={layers}/work")
        mount("tmpfs", self.at("/run"), "tmpfs", 0, "mode=755")
        for name in ("proc", "sys", "dev"):
            output(["mount", "--rbind", f"/{name}", self.at("/" + name)])
        for name in ("group", "gshadow", "passwd", "shadow", "login.defs", "ld.so.cache", "nsswitch.conf"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", self.at(f"/etc/{name}"))
        shutil.copytree("/etc/alternatives", self.at("/etc/alternatives"), symlinks=True)
        subprocess.run(["groupdel", "-P", self.path, "carrel"], capture_output=True)

    def _make_database(self):
        for name in ("info", "updates", "triggers", "parts"):
            os.makedirs(self.at("/var/lib/dpkg/" + name))
        known = output(["dpkg-query", "-s", DEPENDS])
        with open(self.at("/var/lib/dpkg/status"), "w") as f:
            # Its own dependencies are not the question.
            f.write(re.sub(r"^(Depends|Pre-Depends|Recommends|Breaks):.*\n", "", known, flags=re.M) + "\n")
        with open(self.at(f"/var/lib/dpkg/info/{DEPENDS}.list"), "w"):
            pass

    def words(self, args):
        return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "sh", self.path, *args]

    def run(self, *args):
        """Runs a program in it that has to succeed; gives what it said."""
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return output(self.words(args), env=env)

    def install(self, package):
        shutil.copy(package, self.at("/tmp/carrel.deb"))
        said = self.run("dpkg", "--install", "/tmp/carrel.deb")
        os.unlink(self.at("/tmp/carrel.deb"))
        return said

    def files(self):
        """What is neither a directory nor the business of dpkg, and groupadd's backups; of
        /usr, the writable layer alone."""
        found = set()
        skip = ("/proc", "/sys", "/dev", "/usr", "/usr/share/man", "/var/lib/dpkg", "/var/log", "/var/cache")
        for start, place in ((self.path, ""), (self.upper, "/usr")):
            for top, names, files in os.walk(start):
                inside = place + top[len(start) :]
                if inside in skip and top != start:
                    names.clear()
                    continue
                found |= {f"{inside}/{f}" for f in files}
                found |= {f"{inside}/{n}" for n in names if os.path.islink(f"{top}/{n}")}
        return {f for f in found if not re.fullmatch(r"/etc/(g?shadow-|group-|\.pwd\.lock)", f)}

    def group(self):
        return re.findall(r"^carrel:.*$", read(self.at("/etc/group")), re.M)


# --- the package itself ------------------------------------------------------------------


@case("the package holds what is installed, as root's, and needs nothing but a shell", timeout=120)
def package_content():
    deb = build_package()
    fields = dict(line.split(": ", 1) for line in output(["dpkg-deb", "-f", deb]).splitlines() if line[0] != " ")
    eq((fields["Package"], fields["Architecture"], fields["Depends"]), ("carrel", "amd64", DEPENDS))
    listed = {}
    for line in output(["dpkg-deb", "-c", deb]).splitlines():
        mode, owner, *_, path = line.split()
        eq(owner, "root/root", f"owner of {path}")
        ok(not re.match(r".......*[stST]|.....w|........w", mode), f"{path} has mode {mode}")
        listed[path.lstrip(".")] = mode
    for path in ("/usr/bin/carrel", "/usr/bin/carrel-rootfs", "/usr/sbin/carreld"):
        eq(listed[path], "-rwxr-xr-x", path)
    for path in (
        "/etc/carrel/carrel.conf", "/lib/systemd/system/carreld.service", "/lib/systemd/system/carreld.socket",
        "/lib/systemd/system/carrel-sandboxes.service", "/usr/lib/sysusers.d/carrel.conf",
        "/usr/share/man/man1/carrel.1.gz", "/usr/share/man/man5/carrel.conf.5.gz", "/usr/share/man/man8/carreld.8.gz",
        "/usr/share/doc/carrel/copyright", "/usr/share/doc/carrel/changelog.gz",
        "/usr/share/varlink/io.carrel.Pool.varlink",
    ):  # fmt: skip
        eq(listed.get(path), "-rw-r--r--", path)
    ok(not [p for p in listed if p.startswith("/usr/local")], "something is in /usr/local")


@case("two builds of the package are the same bytes", timeout=120)
def package_reproducible():
    first = build_package("one")
    time.sleep(1.1)  # a date of today's would differ
    eq(digest(build_package("two")), digest(first))


@case("lintian finds no fault in the package", timeout=180)
def package_lintian():
    need("lintian")
    found = output(["lintian", "--allow-root", "--fail-on", "none", build_package()])
    eq([line for line in found.splitlines() if re.match("[EW]:", line)], [])


# --- in a root of its own ----------------------------------------------------------------


def settle(root):
    """Ids and cgroup records apart from those of others on the machine."""
    with open(root.at("/etc/carrel/carrel.conf"), "a") as f:
        f.write(f"\n[ids]\nfirst = {here.id_first}\nranges = {ID_RANGES}\n")


@case("installed, carrel runs a command and carreld knows its options; purged, nothing is left", timeout=120)
def package_life():
    need("dpkg")
    root = Root()
    before = root.files()
    eq(root.group(), [])
    root.install(build_package())
    matches(root.group()[0], r"^carrel:x:\d{1,3}:$", "group")
    for link in ("sockets.target.wants/carreld.socket", "multi-user.target.wants/carreld.service"):
        target = os.readlink(root.at("/etc/systemd/system/" + link))
        eq(target, "/lib/systemd/system/" + os.path.basename(link))
    settle(root)
    eq(root.run("carrel", "version"), output([CARREL, "version"]))
    eq(root.run("carrel", "run", "--", "true"), "")
    contains(root.run("carrel", "run", "--", "sh", "-c", "id; ls /"), "uid=1000")
    contains(root.run("carreld", "--help"), "Usage: carreld")
    # What carrel-rootfs needs of a machine, it brings.
    root.run("sh", "-c", "cd /root && mkdir tree && echo x >tree/x && tar cJf tree.tar.xz -C tree .")
    eq(root.run("carrel", "rootfs", "import", "-q", "a", "/root/tree.tar.xz"), "a\n")
    eq(root.run("carrel", "rootfs", "ls", "-q"), "a\n")
    root.run("rm", "-r", "/root/tree", "/root/tree.tar.xz")
    root.run("dpkg", "--remove", "carrel")
    ok(os.path.exists(root.at("/etc/carrel/carrel.conf")), "the configuration went with the program")
    ok(not os.path.exists(root.at("/usr/bin/carrel")), "the program is still there")
    root.run("dpkg", "--purge", "carrel")
    eq(root.files() - before, set(), "what is left")
    eq(before - root.files(), set(), "what is missing")
    ok(not os.path.exists(root.at("/etc/carrel")), "/etc/carrel is left")
    eq(root.group(), [])


@case("an upgrade keeps the administrator's configuration, group and disabled units", timeout=120)
def package_upgrade():
    need("dpkg")
    root, deb = Root(), build_package()
    root.install(deb)
    settle(root)
    edited = read(root.at("/etc/carrel/carrel.conf"))
    group = root.group()
    root.run("systemctl", "disable", "carreld.service", "carreld.socket")
    root.install(deb)
    eq(read(root.at("/etc/carrel/carrel.conf")), edited)
    eq(root.group(), group)
    links = [f for f in root.files() if f.startswith("/etc/systemd/system/") and "carrel" in f]
    eq(links, [], "units that are enabled again")
    eq(root.run("carrel", "run", "--", "true"), "")


# --- the units ---------------------------------------------------------------------------


@case("systemd finds no fault in the units, and the exposure that they explain", timeout=120)
def units_verify():
    need("systemd-analyze")
    root = Root()
    root.install(build_package())
    units = [f"/lib/systemd/system/{name}" for name in os.listdir(UNITS) if name.endswith((".service", ".socket"))]
    eq(len(units), 3, "units")
    # man(1) would be asked for each Documentation=.
    eq(root.run("systemd-analyze", "verify", "--man=no", *units), "")
    for unit, most in EXPOSURE.items():
        root.run("systemd-analyze", "security", "--offline=yes", f"--threshold={most}", f"/lib/systemd/system/{unit}")


def unit_value(unit, key):
    text = read(os.path.join(UNITS, unit)).replace("\\\n", " ")
    return re.findall(rf"^{key}=(.*)$", text, re.M)[-1].split()


def as_the_unit():
    """Words that leave what follows the capabilities of carreld.service alone."""
    names = [name.removeprefix("CAP_").lower() for name in unit_value("carreld.service", "CapabilityBoundingSet")]
    bounds = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--inh-caps", "-all", "--bounding-set", bounds, "--no-new-privs"]


@case("the capabilities that the unit leaves are all that doctor asks for", timeout=60)
def unit_capabilities_doctor():
    r = carrel(["doctor", "--config", here.config, "--format", "json"], wrapper=as_the_unit(), timeout=60).expect(0)
    eq([c for c in json.loads(r.stdout)["checks"] if c["state"] == "missing"], [])
    # And a doctor that lacks one of them says so: the wrapper does what it should.
    lacking = [w.replace("+sys_ptrace", "-sys_ptrace") for w in as_the_unit()]
    r = carrel(["doctor", "--config", here.config], wrapper=lacking, timeout=60).expect(1)
    contains(r.stdout, "CAP_SYS_PTRACE")


@case("and enough for a sandbox with a workspace, limits and a terminal")
def unit_capabilities_run():
    w = Workspace()
    options = [*w.options(), "-m", "64m", "--cpus", "0.5", "--pids-limit", "16", "--tmpfs", "/x"]
    script = "set -e; grep CapBnd /proc/self/status; echo hi >/workspace/file; touch /x/file; id -u"
    r = run([*options, "sh", "-c", script], wrapper=as_the_unit()).expect(0)
    eq(r.stdout, "CapBnd:\t0000000000000000\n1000\n")
    eq(os.stat(os.path.join(w.path, "file")).st_uid, w.owner[0])
    r = run(["-m", "16m", "sh", "-c", "exec tail /dev/zero"], wrapper=as_the_unit()).expect(137)
    eq(r.result["reason"], "oom")


@net_case("and enough for a sandbox with egress")
def unit_capabilities_egress(lab):
    egress(["true"], wrapper=as_the_unit()).expect(0)


# --- without systemd ---------------------------------------------------------------------

# Stands for carreld: says that it runs, leaves an orphan, dies the first time.
FAKE = """#!/bin/sh
echo "start $*" >>/root/log
sh -c 'sleep 0.1 & echo $! >/root/orphan'
if [ ! -e /root/again ]; then : >/root/again; exit 1; fi
trap 'echo stop >>/root/log; exit 0' TERM
while :; do sleep 0.05; done
"""


@case("the example of an init starts the daemon again, reaps, and ends it before the machine", timeout=60)
def init_example():
    root = Root()
    shutil.copy(os.path.join(TOP, "tools/init-example"), root.at("/root/init"))
    with open(root.at("/root/carreld"), "w") as f:
        f.write(FAKE)
    os.chmod(root.at("/root/carreld"), 0o755)
    words = ["env", "-i", "CARRELD=/root/carreld", "POWEROFF=touch /root/off", "/root/init"]
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *root.words(words)],
                               stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        log = root.at("/root/log")
        wait_until(lambda: os.path.exists(log) and read(log).count("start --foreground") == 2, 10, "second start")
        (init,) = wait_until(lambda: children(process.pid), 5, "init")
        time.sleep(0.3)
        eq([p for p in descendants(init) if stat_fields(p) and stat_fields(p)[1] == "Z"], [], "zombies")
        os.kill(init, signal.SIGTERM)
        eq(process.wait(scaled(10)), 0, "status")
    finally:
        process.kill()
        process.wait()
    eq(read(log), "start --foreground\nstart --foreground\nstop\n")
    ok(os.path.exists(root.at("/root/off")), "the machine was not turned off")
