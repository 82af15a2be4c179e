# SPDX-License-Identifier: Apache-2.0
"""A store of root directories of the case's own, and archives and images to import into it.

    s = Store()
    s.imports("busybox", tar(busybox()))
    run(["--rootfs", "busybox", "/bin/sh", "-c", "id"])
"""

import hashlib
import io
import tarfile

from harness import *

BUSYBOX = next((p for p in ("/usr/bin/busybox", "/bin/busybox") if os.path.exists(p)), None)


class Store:
    """The configuration of the case names it."""

    def __init__(self):
        self.path = os.path.join(here.directory, "store")
        with open(here.config, "a") as f:
            f.write(f"\n[state]\nrootfs = {self.path}\n")

    def words(self, verb, *words):
        return ["rootfs", verb, "--config", here.config, *words]

    def run(self, verb, *words, **kw):
        return carrel(self.words(verb, *words), **kw)

    def source(self, source):
        """A path: bytes become a file."""
        if isinstance(source, str):
            return source
        fd, path = tempfile.mkstemp(dir=here.work)
        with open(fd, "wb") as f:
            f.write(source)
        return path

    def imports(self, name, source, *options, **kw):
        """Imports bytes or a path, which has to succeed; gives what is known of it."""
        r = self.run("import", "--format", "json", *options, name, self.source(source), **kw).expect(0)
        eq(r.stderr, "", "standard error")
        return json.loads(r.stdout)

    def refuses(self, source, *parts, options=(), name="bad", **kw):
        """Does not import it, says why in one line, and leaves nothing."""
        before = self.content()
        r = self.run("import", *options, name, self.source(source), **kw).expect(125)
        eq(r.stdout, "", "standard output")
        matches(r.stderr, r"^carrel: rootfs: import: [ -~]+\n$")
        for part in parts:
            contains(r.stderr, part)
        eq(self.content(), before, "content of the store")

    def content(self):
        """The names in it, whatever they are, but for the store's lock."""
        if not os.path.isdir(self.path):
            return []
        return sorted(n for n in os.listdir(self.path) if n != ".lock")

    def names(self):
        return self.run("ls", "-q").expect(0).stdout.split()

    def about(self, name):
        lines = self.run("ls", "--format", "json").expect(0).stdout.splitlines()
        return next(o for o in map(json.loads, lines) if o["name"] == name)

    def root(self, name, *parts):
        return os.path.join(self.path, name, "root", *parts)

    def tree(self, name):
        return tree(self.root(name))


def tree(top):
    """{path: mode and content, or where a link leads} of all below."""
    found = {}
    for directory, dirs, files in os.walk(top):
        for n in dirs + files:
            path = os.path.join(directory, n)
            st = os.lstat(path)
            inside = path[len(top) + 1 :]
            if stat.S_ISLNK(st.st_mode):
                found[inside] = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                found[inside] = (stat.S_IMODE(st.st_mode), read(path, binary=True))
            else:
                found[inside] = (st.st_mode, None)
    return found


# --- archives ------------------------------------------------------------------------------


def entry(name, data=None, link=None, hard=None, type=None, mode=None, **more):
    """(TarInfo, content) of a regular file, of a link, of `type`, or else of a directory."""
    info = tarfile.TarInfo(name)
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif hard is not None:
        info.type, info.linkname = tarfile.LNKTYPE, hard
    elif type is not None:
        info.type = type
    elif data is None:
        info.type = tarfile.DIRTYPE
    data = data.encode() if isinstance(data, str) else data or b""
    info.size = len(data)
    info.mode = mode if mode is not None else 0o755 if info.isdir() else 0o644
    info.mtime = 1000000000
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar(entries, format=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as t:
        for info, data in entries:
            # A size may be a lie.
            t.addfile(info, io.BytesIO(data) if info.size == len(data) else None)
            if info.size != len(data):
                out.write(data)
    return out.getvalue()


def header(name, **more):
    """The bytes of one header alone."""
    info, _ = entry(name, b"", **more)
    return info.tobuf(tarfile.PAX_FORMAT)


def busybox():
    """Entries of a root directory that has a shell."""
    if not BUSYBOX:
        raise Skip("busybox-static is not installed")
    names = ("sh", "cat", "ls", "id", "echo", "sleep", "touch")
    return [
        entry("./"), entry("./bin"), entry("./bin/busybox", read(BUSYBOX, binary=True), mode=0o755),
        *(entry(f"./bin/{n}", link="busybox") for n in names),
        entry("./etc"), entry("./etc/motd", "first\n"),
    ]  # fmt: skip


# --- images --------------------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).hexdigest()


CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Env": ["A=1"], "Cmd": ["/bin/sh"], "WorkingDir": "/srv", "User": "7", "Labels": {"x": "y"}},
}
KEPT = {"Env": ["A=1"], "Cmd": ["/bin/sh"], "WorkingDir": "/srv", "User": "7"}


def docker(layers, config=CONFIG, manifest=None, more=()):
    """What `docker save` writes, for layers that are lists of entries or bytes."""
    layers = [data if isinstance(data, bytes) else tar(data) for data in layers]
    names = [f"{sha256(data)}{i}/layer.tar" for i, data in enumerate(layers)]
    if manifest is None:
        manifest = [{"Config": "config.json", "RepoTags": None, "Layers": names}]
    files = [entry(name, data) for name, data in zip(names, layers)]
    files += [entry("config.json", json.dumps(config)), *more]
    return tar([*files, entry("manifest.json", json.dumps(manifest))])


class Layout:
    """An OCI image layout, as {path: bytes}."""

    def __init__(self, layers, config=CONFIG, layer_type="application/vnd.oci.image.layer.v1.tar"):
        self.files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.layers = [self.blob(data if isinstance(data, bytes) else tar(data), layer_type) for data in layers]
        self.config = self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
        self.manifest = self.blob(
            json.dumps({"schemaVersion": 2, "config": self.config, "layers": self.layers}).encode(),
            "application/vnd.oci.image.manifest.v1+json",
        )
        self.index([self.manifest])

    def blob(self, data, media_type):
        self.files["blobs/sha256/" + sha256(data)] = data
        return {"mediaType": media_type, "digest": "sha256:" + sha256(data), "size": len(data)}

    def path(self, descriptor):
        return "blobs/sha256/" + descriptor["digest"].split(":")[1]

    def index(self, manifests):
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()

    def nested(self, manifests):
        """A descriptor of an index with these."""
        data = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
        return self.blob(data, "application/vnd.oci.image.index.v1+json")

    def tar(self):
        return tar([entry(path, data) for path, data in self.files.items()])

    def directory(self):
        top = tempfile.mkdtemp(dir=here.work)
        for path, data in self.files.items():
            os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
            with open(os.path.join(top, path), "wb") as f:
                f.write(data)
        return top
