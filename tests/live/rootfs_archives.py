# SPDX-License-Identifier: Apache-2.0
"""carrel rootfs import: archives and images that strangers have made."""

import bz2
import gzip
import lzma
import random

from harness import *
from rootstore import *


def outside():
    """A directory that nothing may be made in or removed from."""
    top = os.path.join(here.work, "outside")
    os.mkdir(top)
    with open(os.path.join(top, "file"), "w") as f:
        f.write("canary\n")
    return top


# --- what is imported ------------------------------------------------------------------


def some_tree():
    return [
        entry("./", mode=0o700),
        entry("./usr/lib/deep", "parents are made\n"),
        entry("usr/bin/tool", "#!/bin/sh\n", mode=0o755, uid=1000, gid=1000),
        entry("bin", link="usr/bin"),
        entry("usr/bin/other", hard="usr/bin/tool"),
        entry("private", mode=0),
        entry("private/file", "x", mode=0),
        entry("tmp", mode=0o1777),
        entry("grün \udcff\n\033[31m", "any bytes"),
        entry("n" * 255, "long"),
        entry("/".join(["d" * 100] * 30), "far"),
    ]


EXPECTED = {
    "usr": (0o40755, None), "usr/lib": (0o40755, None), "usr/bin": (0o40755, None),
    "usr/lib/deep": (0o644, b"parents are made\n"), "usr/bin/tool": (0o755, b"#!/bin/sh\n"), "bin": "usr/bin",
    "usr/bin/other": (0o755, b"#!/bin/sh\n"), "private": (0o40700, None), "private/file": (0o600, b"x"),
    "tmp": (0o41777, None), "grün \udcff\n\033[31m": (0o644, b"any bytes"), "n" * 255: (0o644, b"long"),
    **{"/".join(["d" * 100] * n): (0o40755, None) for n in range(1, 30)}, "/".join(["d" * 100] * 30): (0o644, b"far"),
}  # fmt: skip


@case("a tar archive is imported whole, in each of its dialects, however it is compressed, from a file, a pipe or a FIFO", timeout=60)
def archives():
    s, plain = Store(), tar(some_tree())
    zstd = subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True, check=True).stdout
    sources = [plain, tar(some_tree(), tarfile.GNU_FORMAT), gzip.compress(plain), lzma.compress(plain), zstd]
    for i, data in enumerate(sources):
        about = s.imports(f"a{i}", data)
        eq(s.tree(f"a{i}"), EXPECTED)
        eq(about["source"], "archive")
        eq(about["digest"], "sha256:" + sha256(data))
        eq((about["files"], about["devices_left_out"], about["specials_left_out"]), (len(EXPECTED), 0, 0))
        inodes = {os.stat(s.root(f"a{i}", p)).st_ino: os.stat(s.root(f"a{i}", p)).st_size for p in EXPECTED
                  if os.path.isfile(s.root(f"a{i}", p))}  # fmt: skip
        eq(about["size"], sum(inodes.values()))
    r = s.run("import", "stdin", "-", input=sources[4]).expect(0)
    matches(r.stdout, rf"^stdin: archive, {len(EXPECTED)} files, \d+B\n$")
    eq(s.tree("stdin"), EXPECTED)
    fifo = os.path.join(here.work, "fifo")
    os.mkfifo(fifo)
    feeder = threading.Thread(target=lambda: open(fifo, "wb").write(plain))
    feeder.start()
    eq(s.run("import", "-q", "fifo", fifo).expect(0).stdout, "fifo\n")
    feeder.join()
    eq(s.tree("fifo"), EXPECTED)
    st = os.stat(s.root("a0"))
    eq((stat.S_IMODE(st.st_mode), st.st_uid), (0o755, 0), "the root directory")
    eq(os.stat(s.root("a0", "usr/bin/tool")).st_mtime, 1000000000)
    eq({os.lstat(s.root("a0", p)).st_uid for p in EXPECTED}, {0}, "owners")


@case("set-id bits, attributes and access lists are dropped, and device nodes, FIFOs and sockets left out and counted", ids=["E-21"])
def dropped():
    s = Store()
    capability = b"\x01\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0".decode("latin-1")
    info, data = entry("cap", "x")
    info.pax_headers = {"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.mine": "1",
                        "SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.acl.access": "user::rw-,user:7:rw-"}  # fmt: skip
    about = s.imports("a", tar([
        entry("suid", "x", mode=0o6755), entry("dir", mode=0o7777), (info, data),
        entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), entry("disk", type=tarfile.BLKTYPE, devmajor=8),
        entry("fifo", type=tarfile.FIFOTYPE), entry("last", "x"),
    ]))  # fmt: skip
    eq(s.tree("a"), {"suid": (0o755, b"x"), "dir": (0o41777, None), "cap": (0o644, b"x"), "last": (0o644, b"x")})
    eq((about["devices_left_out"], about["specials_left_out"], about["files"]), (2, 1, 4))
    for name in ("cap", "dir", "."):
        eq(os.listxattr(s.root("a", name)), [], f"attributes of {name}")
    contains(s.run("import", "b", s.source(tar([entry("n", type=tarfile.CHRTYPE)]))).expect(0).stdout, "1 devices left out")


@case("links that lead out of an archive lead nowhere, and what goes through them stays inside", ids=["E-07", "E-40"])
def links_out():
    s, out = Store(), outside()
    up = "../" * 40
    s.imports("a", tar([
        entry("abs", link=out), entry("abs/file", "in"), entry("rel", link=up + out[1:]), entry("rel/file", "in"),
        entry("top", link=up), entry("top/at-top", "in"),
        entry("d"), entry("d/self", link="."), entry("d/self/self/self/x", "in"),
        entry("over", link=f"{out}/file"), entry("over", "in"),
        entry("first", link=f"{out}/file"), entry("second", hard="first"), entry("second", "in"),
        entry("/absolute" + out, "in"), entry("dir", link=out), entry("dir"), entry("dir/new", "in"),
        entry("usr/lib"), entry("lib", link="usr/lib"), entry("lib/x", "in"), entry("twice", "1"), entry("twice", "in"),
        entry("was/dir/x", "1"), entry("was", "in"),
    ]))  # fmt: skip
    found = s.tree("a")
    eq(tree(out), {"file": (0o644, b"canary\n")})
    for path in ("abs/file", "at-top", "d/x", "over", "second", "absolute" + out, "dir/new", "usr/lib/x", "twice", "was"):
        eq(found.get(path, (None, None))[1], b"in", path)
    eq(found["first"], f"{out}/file")
    eq(found["lib"], "usr/lib")


# --- what is refused -------------------------------------------------------------------


def loops():
    return [entry(f"l{i}", link=f"l{(i + 1) % 50}") for i in range(50)]


REFUSED = [
    # what: entries, part of the error
    (".. at the front", [entry("../x", "x")], '".."'),
    (".. in the middle", [entry("a/b"), entry("a/b/../../../x", "x")], '".."'),
    (".. at the end", [entry("a/..")], '".."'),
    ("a directory ..", [entry("..", mode=0o777)], '".."'),
    ("hard link above", [entry("h", hard="../../../../etc/passwd")], '".."'),
    ("hard link to a host's file", [entry("h", hard="/etc/passwd")], "No such file"),
    ("hard link through a link", [entry("e", link="/etc"), entry("h", hard="e/passwd")], "No such file"),
    ("hard links in a circle", [entry("a", hard="b"), entry("b", hard="a")], "No such file"),
    ("hard link to itself", [entry("a", hard="a")], "No such file"),
    ("hard link to a directory", [entry("a"), entry("b", hard="a")], "make hard link"),
    ("hard link in place of the root", [entry("a", "x"), entry(".", hard="a")], "the root"),
    ("a file in place of the root", [entry("./", "x", type=tarfile.REGTYPE)], ""),
    ("a link in place of the root", [entry(".", link="/etc")], "the root"),
    ("a file below a file", [entry("a", "x"), entry("a/b", "x")], "Not a directory"),
    ("a circle of links", [*loops(), entry("l0/x", "x")], "symbolic links"),
    ("a link to nothing", [entry("a", link="")], ""),
    ("256 bytes of name", [entry("n" * 256, "x")], "too long"),
    ("a name in a name of 256", [entry("a/" + "n" * 256 + "/b", "x")], "too long"),
    ("a path of 4096", [entry("/".join(["d" * 100] * 41), "x")], "too long"),
    ("257 parts", [entry("/".join("d" * 257))], "256 parts"),
    ("100000 parts", [entry("/".join("d" * 100000))], "256 parts"),
    ("a link of 5000", [entry("a", link="x" * 5000)], "too long"),
]  # fmt: skip


@case("an archive with .., names that cannot be, bad hard links or circles is refused in one line, and nothing is left", ids=["E-07", "E-08"], timeout=60)
def refused():
    s, out = Store(), outside()
    for what, entries, part in REFUSED:
        try:
            s.refuses(tar([entry("good", "x"), *entries]), "bad: ", part)
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}") from e
    eq(s.names(), [])
    eq(tree(out), {"file": (0o644, b"canary\n")})


@case("what is no archive, one that is cut off, or of a kind that is not taken is refused")
def no_archives():
    s, good = Store(), tar([entry("file", b"x" * 100000)])
    broken = bytearray(gzip.compress(os.urandom(50000) + good))
    broken[30000] ^= 0xFF
    for data in (b"", b"x", b"hello\n" * 1000, os.urandom(10000), good[:700], good[:50000], bz2.compress(good),
                 gzip.compress(good)[:-200], bytes(broken), lzma.compress(good)[:100], read("/bin/true", binary=True)):  # fmt: skip
        s.refuses(data, "bad: ")
    s.refuses(os.path.join(here.work, "nosuch"), "No such file")
    s.refuses("/dev/null", "neither an archive nor a directory")
    r = s.run("import", "bad", "-", stdin=subprocess.DEVNULL).expect(125)
    contains(r.stderr, "neither an archive nor a directory")
    eq(s.content(), [])


@case("sizes and numbers beyond the limits are refused before the disk is full: also of bombs, holes and lies", ids=["E-50"], timeout=120)
def limits():
    s = Store()
    mega = 1 << 20
    bomb = tar([entry("zeros", bytes(64 * mega))])
    for packed in (gzip.compress(bomb), lzma.compress(bomb), gzip.compress(gzip.compress(bomb))):
        ok(len(packed) < mega, "it is no bomb")
        s.refuses(packed, "more than 10485760 bytes; see --max-size", options=["--max-size", "10m"])
    s.refuses(header("lie", size=1 << 40), "see --max-size")
    s.refuses(header("lie", size=(1 << 63) - 1), "bad: ")
    s.refuses(header("lie", type=tarfile.LNKTYPE, linkname="x", size=1 << 40), "")
    s.refuses(tar([entry("a", bytes(mega)), entry("a", bytes(mega))]), "--max-size", options=["--max-size", "1536k"])
    many = tar([entry(f"f{i}", "") for i in range(100)])
    s.refuses(many, "more than 99 files; see --max-files", options=["--max-files", "99"])
    eq(s.imports("many", many, "--max-files", "100")["files"], 100)
    s.refuses(tar([entry("a/b/c/d/e", "")]), "--max-files", options=["--max-files", "4"])
    hole = os.path.join(here.work, "hole")
    with open(hole, "wb") as f:
        f.truncate(1 << 40)
    sparse = subprocess.run(["tar", "-C", here.work, "-cSf", "-", "hole"], capture_output=True, check=True).stdout
    s.refuses(sparse, "--max-size")
    with open(hole, "wb") as f:
        f.truncate(100 * mega)
        f.seek(50 * mega)
        f.write(b"data")
    sparse = subprocess.run(["tar", "-C", here.work, "-cSf", "-", "hole"], capture_output=True, check=True).stdout
    s.imports("hole", sparse)
    st = os.stat(s.root("hole", "hole"))
    eq(st.st_size, 100 * mega)
    ok(st.st_blocks * 512 < mega, f"the hole has {st.st_blocks} blocks")
    # What comes behind the end of the archive is read for the digest, and is no more welcome.
    s.refuses(tar([entry("a", "x")]) + bytes(6 * mega), "too long", options=["--max-size", "1m", "--max-files", "1000"])


@case("a pax header of any size, in any number, costs neither memory nor time", timeout=60)
def headers():
    s = Store()
    info, data = entry("a", "x")
    info.pax_headers = {"comment": "c" * (50 << 20)}
    r = s.run("import", "--max-size", "1g", "bad", s.source(tar([(info, data)])))
    ok(r.status in (0, 125), r)
    x, _ = entry("x", b"")
    x.type, x.size = tarfile.XHDTYPE, 0
    many = x.tobuf(tarfile.USTAR_FORMAT) * 100000 + tar([entry("a", "x")])
    r = s.run("import", "bad2", s.source(gzip.compress(many)))
    ok(r.status in (0, 125), r)


@case("archives that are damaged anywhere are refused or imported, and never end the process that reads them", timeout=120)
def damaged():
    s, rng = Store(), random.Random(7)
    info, data = entry("long" * 50, "x" * 600)
    info.pax_headers = {"path": "nul\0in it", "mtime": "1.5", "SCHILY.xattr.user.a": "b", "GNU.sparse.major": "1"}
    wholes = [
        tar([*some_tree(), (info, data)]), tar(some_tree(), tarfile.GNU_FORMAT), docker([LOWER, UPPER]),
        Layout([LOWER, gzip.compress(tar(UPPER))]).tar(),
    ]  # fmt: skip
    packers = [lambda b: b, lambda b: b, gzip.compress, lzma.compress]
    died, statuses = [], set()
    for i in range(200):
        spoiled = bytearray(rng.choice(wholes))
        pack = rng.choice(packers)
        early = rng.random() < 0.5
        if not early:
            spoiled = bytearray(pack(bytes(spoiled)))
        for _ in range(rng.choice((1, 3, 30))):
            # Headers are where there is something to misunderstand.
            at = rng.randrange(len(spoiled))
            spoiled[at - at % 512 + rng.randrange(345) if at + 512 < len(spoiled) and early else at] = rng.choice((0, 0xFF, 0x30, rng.randrange(256)))
        source = s.source(pack(bytes(spoiled)) if early else bytes(spoiled))
        r = s.run("import", "-q", "--replace", "--max-size", "100m", "a", source)
        os.unlink(source)
        statuses.add(r.status)
        if r.status not in (0, 125) or "died" in r.stderr or len(r.stderr.splitlines()) != (r.status == 125):
            died.append(r)
    eq(died, [])
    eq(statuses, {0, 125})
    eq(s.content(), ["a"])


# --- images ----------------------------------------------------------------------------

LOWER = [
    entry("keep", "1"), entry("gone", "1"), entry("dir"), entry("dir/a", "1"), entry("dir/b", "1"),
    entry("opaque"), entry("opaque/old", "1"), entry("opaque/sub/old", "1"), entry("became-file/x", "1"),
    entry("became-dir", "1"), entry("changed", "1"), entry("tree/with/much/in/it", "1"),
]  # fmt: skip
UPPER = [
    entry(".wh.gone", ""), entry("dir/.wh.a", ""), entry("dir/c", "2"), entry("opaque/new", "2"),
    entry("opaque/.wh..wh..opq", ""), entry("opaque/sub/.wh.old", ""), entry("became-file", "2"),
    entry("became-dir"), entry("changed", "2", mode=0o600),
    entry(".wh.never-was", ""), entry("no/such/.wh.x", ""), entry(".wh..wh.plnk", ""), entry(".wh.tree", ""),
    entry("back", "2"), entry(".wh.back", ""),
]  # fmt: skip
MERGED = {
    "keep": (0o644, b"1"), "dir": (0o40755, None), "dir/b": (0o644, b"1"), "dir/c": (0o644, b"2"),
    "opaque": (0o40755, None), "opaque/new": (0o644, b"2"), "became-file": (0o644, b"2"),
    "became-dir": (0o40755, None), "changed": (0o600, b"2"), "back": (0o644, b"2"),
}  # fmt: skip


@case("layers of what docker save writes are laid over each other, and what one removes is of the layers below", timeout=40)
def docker_layers():
    s = Store()
    data = docker([LOWER, UPPER])
    about = s.imports("a", data)
    eq(s.tree("a"), MERGED)
    eq((about["source"], about["digest"], about["config"]), ("docker", "sha256:" + sha256(data), KEPT))
    eq(about["files"], len(MERGED))
    eq(about["size"], 7)
    eq(sorted(os.listdir(os.path.join(s.path, "a"))), ["about.json", "lock", "root"])
    # Compressed layers, a layer that is a link to another, as docker has it, and none at all.
    lower = tar(LOWER)
    same = [{"Config": "config.json", "Layers": ["l/layer.tar", "m/layer.tar", "n/layer.tar"]}]
    more = [entry("l/layer.tar", gzip.compress(lower)), entry("m/layer.tar", link="../l/layer.tar"), entry("n/layer.tar", tar(UPPER))]
    s.imports("b", gzip.compress(docker([], manifest=same, more=more)))
    eq(s.tree("b"), MERGED)
    eq(s.imports("c", docker([]))["files"], 0)
    # In a plain archive such names mean nothing.
    s.imports("d", tar([entry("x", "1"), entry(".wh.x", "2")]))
    eq(s.tree("d"), {"x": (0o644, b"1"), ".wh.x": (0o644, b"2")})
    s.imports("e", tar([entry("manifest.json", '{"name": "some program"}')]))
    eq(s.about("e")["source"], "archive")


@case("a whiteout removes nothing outside of the image, by no name and through no link", ids=["E-07", "E-41"])
def whiteouts():
    s, out = Store(), outside()
    for name in (".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh..."):
        s.refuses(docker([[entry("a/b", "1")], [entry(name, "")]]), "layer 2", "removes nothing")
    up = "../" * 40
    s.imports("a", docker([
        [entry("abs", link=out), entry("rel", link=up + out[1:]), entry("top", link=up), entry("x", "1"), entry("link", link=f"{out}/file")],
        [entry("abs/.wh.file", ""), entry("rel/.wh.file", ""), entry("top/.wh.x", ""), entry("abs/.wh..wh..opq", ""),
         entry(".wh.link", "")],
    ]))  # fmt: skip
    eq(tree(out), {"file": (0o644, b"canary\n")})
    eq(sorted(s.tree("a")), ["abs", "rel", "top"])
    s.imports("b", docker([[entry("x/y/z", "1")], [entry(".wh..wh..opq", ""), entry("new", "2")]]))
    eq(s.tree("b"), {"new": (0o644, b"2")})


@case("a manifest.json that names other files, several images, too many layers or another machine is refused", timeout=40)
def docker_refused():
    s, good = Store(), [[entry("x", "1")]]

    def manifest(**more):
        return [{"Config": "config.json", "Layers": [], **more}]

    for path in ("/etc/passwd", "../../../../etc/passwd", "nosuch", "", "x" * 5000, 7, None):
        s.refuses(docker(good, manifest=manifest(Layers=[path])), "bad: ")
        s.refuses(docker(good, manifest=manifest(Config=path)), "bad: ")
    for link in ("/etc/passwd", "../../../../../etc/passwd", "/proc/self/fd/3", "loop", "/root"):
        s.refuses(docker(good, manifest=manifest(Layers=["loop"]), more=[entry("loop", link=link)]), "loop")
    s.refuses(docker(good, manifest=manifest(Layers=["f"]), more=[entry("f")]), "is no file")
    s.refuses(docker(good, manifest=manifest() * 2), "2 images")
    s.refuses(docker([[]] * 513), "513 layers, more than 512")
    eq(s.imports("many", docker([[entry(f"f{i}", "x")] for i in range(200)]))["files"], 200)
    s.refuses(docker(good, config={**CONFIG, "architecture": "arm64"}), "linux/arm64")
    s.refuses(docker(good, config={**CONFIG, "os": "windows"}), "windows/amd64")
    s.refuses(docker(good, config={**CONFIG, "config": {"Env": ["A=" + "x" * 60000]}}), "too long")
    s.refuses(docker([*good, b"no archive at all"]), "layer 2")
    s.refuses(docker([tar([entry("a", bytes(600 << 10))])] * 3), "--max-size", options=["--max-size", "1m"])


@case("an OCI layout is imported from a directory or an archive: what is for linux/amd64, through indexes", timeout=40)
def oci():
    s, layout = Store(), Layout([LOWER, gzip.compress(tar(UPPER))])
    for name, source in (("dir", layout.directory()), ("tar", layout.tar())):
        about = s.imports(name, source)
        eq(s.tree(name), MERGED)
        eq((about["source"], about["digest"], about["config"]), ("oci", layout.manifest["digest"], KEPT))
    amd64 = {**layout.manifest, "platform": {"os": "linux", "architecture": "amd64"}}
    others = [{**layout.config, "platform": {"os": o, "architecture": a}} for o, a in
              (("linux", "arm64"), ("windows", "amd64"), ("unknown", "unknown"))]  # fmt: skip
    layout.index([others[0], layout.nested([*others, amd64, {**amd64, "annotations": {"name": "again"}}]), others[1]])
    s.imports("nested", layout.tar())
    eq(s.tree("nested"), MERGED)
    layout.index(others)
    s.refuses(layout.tar(), "nothing in it is for linux/amd64")
    layout.index([layout.manifest, layout.config])
    s.refuses(layout.tar(), "more than one image")
    deep = layout.nested([layout.manifest])
    for _ in range(5):
        deep = layout.nested([deep])
    layout.index([deep])
    s.refuses(layout.tar(), "indexes in each other")


@case("an OCI layout of which one byte, size or name is not what its digest says is refused", timeout=60)
def oci_changed():
    s = Store()
    for part in ("config", "manifest", 0, 1):
        for change in (lambda b: b + b" ", lambda b: b[:-1], lambda b: bytes([b[0] ^ 1]) + b[1:]):
            layout = Layout([LOWER, gzip.compress(tar(UPPER))])
            descriptor = layout.layers[part] if isinstance(part, int) else getattr(layout, part)
            layout.files[layout.path(descriptor)] = change(layout.files[layout.path(descriptor)])
            s.refuses(layout.tar() if part else layout.directory(), "bad: ")
    # Valid as an archive, and another one than was meant.
    layout = Layout([LOWER])
    layout.files[layout.path(layout.layers[0])] = tar([entry("evil", "x")])
    s.refuses(layout.directory(), "has been changed")
    for digest in ("sha256:" + "0" * 64, "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:../../index.json", "", "sha256:"):
        layout = Layout([LOWER])
        layout.index([{**layout.manifest, "digest": digest}])
        s.refuses(layout.tar(), "bad: ")
    layout.index([{**layout.manifest, "size": layout.manifest["size"] + 1}])
    s.refuses(layout.tar(), "has been changed")
    s.refuses(Layout([LOWER], layer_type="application/vnd.oci.image.layer.v1.tar+encrypted").tar(), "is of type")
    for text in (b"", b"{", b"[]", b'{"manifests": 7}', b"[" * 100000, b'{"manifests": [7]}'):
        layout.files["index.json"] = text
        s.refuses(layout.tar(), "bad: ")


# --- directories -----------------------------------------------------------------------


@case("a directory is copied with its links and holes, and without what is mounted below, special or not root's to read")
def directories():
    s, top = Store(), idmap_dir()
    os.chmod(top, 0o700)

    def put(name, content, mode=0o644, uid=0):
        with open(os.path.join(top, name), "wb") as f:
            f.write(content)
        os.chown(f.name, uid, uid)
        os.chmod(f.name, mode)

    os.makedirs(f"{top}/a/b")
    put("a/b/file", b"x", 0o4755, 1000)
    os.link(f"{top}/a/b/file", f"{top}/twin")
    put("theirs", b"x", 0o600, 1000)
    os.mkdir(f"{top}/closed", 0o700)
    os.chown(f"{top}/closed", 1000, 1000)
    os.symlink("/etc", f"{top}/link")
    os.mkfifo(f"{top}/fifo")
    os.mknod(f"{top}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(f"{top}/hole", "wb") as f:
        f.truncate(50 << 20)
        f.seek(20 << 20)
        f.write(b"middle")
    os.mkdir(f"{top}/mnt")
    private_mounts()
    mount("tmpfs", f"{top}/mnt", "tmpfs", 0, "")
    with open(f"{top}/mnt/other", "w"):
        pass
    about = s.imports("a", top)
    hole = bytes(20 << 20) + b"middle" + bytes((30 << 20) - 6)
    eq({k: v for k, v in s.tree("a").items() if k != "hole"},
       {"a": (0o40755, None), "a/b": (0o40755, None), "a/b/file": (0o755, b"x"), "twin": (0o755, b"x"), "link": "/etc",
        "mnt": (0o40755, None)})  # fmt: skip
    ok(read(s.root("a", "hole"), binary=True) == hole, "the file with a hole is another one")
    ok(os.stat(s.root("a", "hole")).st_blocks * 512 < 1 << 20, "the hole has been filled")
    eq(os.stat(s.root("a", "twin")).st_nlink, 2)
    eq((about["source"], about["devices_left_out"], about["specials_left_out"], about["unreadable_left_out"]),
       ("directory", 1, 1, 2))  # fmt: skip
    s.refuses(top, "--max-size", options=["--max-size", "1m"])
    s.refuses(top, "--max-files", options=["--max-files", "5"])
    deep = os.path.join(idmap_dir(), "x")
    os.makedirs("/".join([deep, *"d" * 300]))
    s.refuses(deep, "256 parts")
