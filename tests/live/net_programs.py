# SPDX-License-Identifier: Apache-2.0
"""Real programs on a filtered network, and what the result tells of it."""

import hashlib
import socket

from harness import *
from netlab import *

SITE = "93.184.216.34"


def site(lab, size=1 << 20):
    """A web site called site.test, with one file; gives its directory and content."""
    directory = os.path.join(here.directory, "site")
    os.makedirs(directory)
    content = os.urandom(size)
    with open(os.path.join(directory, "file"), "wb") as f:
        f.write(content)
    lab.serve_dns(lab.internet, RESOLVER, f"--address=/site.test/{SITE}", f"--address=/inner.test/{METADATA}")
    lab.serve_http(lab.internet, SITE, 80, directory)
    return directory, content


@net_case("curl fetches by name, and fails at once where it must not", ids=["N-12"])
def curl(lab):
    _, content = site(lab)
    ws = Workspace()
    script = (
        "curl -sS -o got http://site.test/file && sha256sum got | cut -d' ' -f1\n"
        f"curl -sS -o no http://{METADATA}/latest/meta-data/; echo $?\n"
        "curl -sS -o no http://inner.test/; echo $?; curl -sS -o no http://[::ffff:169.254.169.254]/; echo $?\n"
        "curl -sS -o no http://2852039166/; echo $?; curl -sS -o no http://0xa9fea9fe/; echo $?; ls no 2>/dev/null"
    )
    r = egress(["sh", "-c", script], *ws.options(), timeout=40).expect(2)
    # 7: could not connect
    eq(r.stdout.split(), [hashlib.sha256(content).hexdigest(), "7", "7", "7", "7", "7"], r)


@net_case("python's urllib and node's fetch read a site by its name, and fail at once where they must not", ids=["N-12"], timeout=60)
def python_and_node(lab):
    _, content = site(lab, 100000)
    digest = hashlib.sha256(content).hexdigest()
    code = (
        "import urllib.request, hashlib\n"
        "print(hashlib.sha256(urllib.request.urlopen('http://site.test/file').read()).hexdigest())\n"
        f"try: urllib.request.urlopen('http://{METADATA}/')\n"
        "except OSError as e: print(e.reason.errno)\n"
    )
    r = egress(["python3", "-c", code], timeout=40).expect()
    eq(r.stdout.split(), [digest, str(errno.ECONNREFUSED)])
    code = (
        "const c = require('crypto');\n"
        "(async () => { const b = await (await fetch('http://site.test/file')).arrayBuffer();\n"
        "console.log(c.createHash('sha256').update(Buffer.from(b)).digest('hex'));\n"
        f"try {{ await fetch('http://{METADATA}/'); console.log('reached'); }} catch (e) {{ console.log(e.cause.code); }} }})();"
    )
    r = egress(["node", "-e", code], timeout=50).expect()
    eq(r.stdout.split(), [digest, "ECONNREFUSED"])


@net_case("git clones over HTTP", timeout=60)
def git_clone(lab):
    directory, _ = site(lab, 10)
    source, env = os.path.join(here.directory, "source"), {**os.environ, "HOME": here.directory}
    script = (
        f"git init -q {source} && cd {source} && git config user.name t && git config user.email t@test &&"
        " seq 1000 >numbers && git add . && git commit -qm first && seq 2000 >numbers && git commit -qam second &&"
        f" git clone -q --bare {source} {directory}/repo.git && cd {directory}/repo.git && git update-server-info"
    )
    subprocess.run(["sh", "-c", script], env=env, check=True, timeout=scaled(20))
    ws = Workspace()
    script = "git clone -q http://site.test/repo.git && cd repo && git log --format=%s && wc -l <numbers && git fsck --strict"
    r = egress(["sh", "-c", script], *ws.options(), timeout=50).expect()
    eq(r.stdout.split(), ["second", "first", "2000"])


@net_case("many connections at once, each with its own answer")
def parallel(lab):
    lab.answer()
    lab.configure(connection_rate="unlimited")
    code = (
        "import threading; found = []\n"
        "def one(a): found.append((a, tcp(a, 80)))\n"
        "t = [threading.Thread(target=one, args=(f'{i}.1.2.3',)) for i in range(20, 100)]\n"
        "for x in t: x.start()\n"
        "for x in t: x.join()\n"
        "say(len(found), {v == 'reached ' + a for a, v in found})"
    )
    eq(inside_python(code).expect().stdout, "80 {True}\n")


@net_case("a way that takes only small packets is found out about, in both directions")
def small_mtu(lab):
    size = 1 << 20
    _, content = site(lab, size)
    lab.host.ip("link set up0 mtu 1300")
    lab.internet.ip("link set far0 mtu 1300")
    listener = lab.internet.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("8.8.8.8", 9000))
    listener.listen()
    listener.settimeout(scaled(10))
    code = (
        "import hashlib, urllib.request as u\n"
        "print(hashlib.sha256(u.urlopen('http://site.test/file').read()).hexdigest())\n"
        f"s = socket.create_connection(('8.8.8.8', 9000)); s.sendall(bytes({size})); s.shutdown(1); print(s.recv(9))"
    )
    running = start_egress(["python3", "-c", "import socket\n" + code])
    peer, _ = listener.accept()
    peer.settimeout(scaled(20))
    got = 0
    while chunk := peer.recv(1 << 16):
        got += len(chunk)
    peer.send(b"thanks")
    eq(got, size, "bytes uploaded")
    eq(running.wait().expect().stdout.split(), [hashlib.sha256(content).hexdigest(), "b'thanks'"])
    peer.close()
    listener.close()


# --- the result ------------------------------------------------------------------------


@net_case("without a network the result says so, and has no denials")
def result_of_none(lab):
    path = os.path.join(here.directory, "result.json")
    run(["--result-file", path, "true"]).expect()
    result = json.loads(read(path))
    eq((result["network"], result["denials"], result["denials_lost"]), ({"mode": "none"}, [], 0))
    eq(lab.host.tables(), set(), "tables")


@net_case("the result has the address, and counts that fit what was transferred")
def accounting(lab):
    size = 4 << 20
    site(lab, size)
    path = os.path.join(here.directory, "result.json")
    r = egress(["curl", "-sS", "-o", "/dev/null", "http://site.test/file"], "--result-file", path).expect()
    eq(json.loads(read(path)), r.result, "file and descriptor")
    n = r.result["network"]
    eq((n["mode"], n["address"], n["address6"]), ("egress", "10.213.0.1", ""))
    ok(size < n["rx_bytes"] < size * 1.2, n)
    ok(100 < n["tx_bytes"] < size / 4, n)
    ok(0 < n["rx_packets"] <= n["rx_bytes"] / 40 and 0 < n["tx_packets"] <= n["tx_bytes"] / 40, n)
    r = egress(["true"], "--ipv6").expect()
    eq({k: r.result["network"][k] for k in ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")},
       {"rx_bytes": 0, "rx_packets": 0, "tx_bytes": 0, "tx_packets": 0}, "of a sandbox that was silent")  # fmt: skip
    ok(r.result["network"]["address6"].startswith("fd63:6172:7265:6c00:"), r)
    upload = "import urllib.request as u\ntry: u.urlopen('http://site.test/', bytes(3000000))\nexcept OSError: pass\nimport time"
    r = egress(["python3", "-c", upload]).expect()
    ok(r.result["network"]["tx_bytes"] > 100000, r)


def denied_in(result):
    return sorted((d["address"], d["port"], d["protocol"], d["count"]) for d in result["denials"])


@net_case("every denied destination is in the result, with protocol, port and count, and nothing else is")
def denials(lab):
    lab.answer()
    r = inside_python(
        f"for _ in range(3): tcp('{METADATA}', 80)\n"
        "for _ in range(2): udp('10.1.2.3', 9)\n"
        "tcp('10.1.2.3', 9); udp('8.8.8.8', 53); tcp('8.8.8.8', 853); tcp('8.8.8.8', 80); udp('8.8.8.8', 443); tcp('7.7.7.7', 80)\n"
        f"tcp('{UPLINK}', 22); tcp('127.0.0.1', 1)\n",
        "--deny", "7.0.0.0/8",
    ).expect()  # fmt: skip
    eq(denied_in(r.result), sorted([
        (METADATA, 80, "tcp", 3), ("10.1.2.3", 9, "udp", 2), ("10.1.2.3", 9, "tcp", 1), ("8.8.8.8", 53, "udp", 1),
        ("8.8.8.8", 853, "tcp", 1), ("7.7.7.7", 80, "tcp", 1), (UPLINK, 22, "tcp", 1),
    ]))  # fmt: skip
    eq(r.result["denials_lost"], 0)
    r = inside_python("tcp('fd00:ec2::254', 80); tcp('2001:db8::1', 443); tcp('2a00::1', 80)", "--ipv6").expect()
    eq(denied_in(r.result), [("2001:db8::1", 443, "tcp", 1), ("fd00:ec2::254", 80, "tcp", 1)])
    eq(egress(["true"]).expect().result["denials"], [], "of the next sandbox")


@net_case("more denied destinations than the list holds are counted", ids=["FI-01"])
def many_denials(lab):
    r = inside_python("for i in range(300): udp(f'10.1.{i // 200}.{i % 200}', 9)").expect()
    eq((len(r.result["denials"]), r.result["denials_lost"]), (256, 44))
    r = inside_python("for i in range(20000): udp(f'10.{i // 200}.0.{i % 200}', 9)", timeout=40).expect()
    eq(len(r.result["denials"]), 256)
    eq(r.result["denials_lost"] + sum(d["count"] for d in r.result["denials"]), 20000, "all that was denied")


# --- long lists ------------------------------------------------------------------------


def long_list():
    """100,000 networks with duplicates and overlaps, none of 20.0.0.0/8, in no order."""
    lines = [f"11.{i >> 8 & 255}.{i & 255}.0/24" for i in range(40000)]
    lines += [f"12.{i >> 8 & 255}.{i & 255}.{i * 7 % 256}" for i in range(40000)]
    lines += ["11.0.0.0/9", "12.0.0.0/16", "13.0.0.0/8", *[f"13.{i & 255}.0.0/16" for i in range(256)]]
    lines += [f"2a00:{i:x}::/32" for i in range(5000)]
    lines += lines[: 100000 - len(lines)]
    return sorted(lines, key=lambda text: hashlib.sha256(text.encode()).digest())


def check_long_list(lab, name=None):
    use_build(name)
    lines = long_list()
    eq(len(lines), 100000)
    path = os.path.join(here.directory, "deny.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
    lab.configure(deny_file=path)
    lab.answer()
    tap = lab.tap()
    closed = ["11.0.0.1", "11.100.5.5", "11.127.255.255", "12.0.3.4", "12.0.255.255", "12.100.50.94", "13.255.255.255", METADATA]
    open_ = ["20.0.0.1", "11.157.0.1", "14.0.0.0", "12.255.0.1", "8.8.8.8"]
    answers = reach([("tcp", a, 80) for a in [*closed, *open_]], timeout=40)
    eq({a for (_, a, _), v in answers.items() if v == f"reached {a}"}, set(open_))
    eq({v for (_, a, _), v in answers.items() if a in closed}, {"ECONNREFUSED"})
    lab.settle()
    eq(tap.to(*closed), [])


@net_case("a list of 100,000 networks with duplicates and overlaps works", ids=["N-03", "N-30"], timeout=60)
def long_deny_file(lab):
    check_long_list(lab)


@net_case("the long list is in the filter inside", ids=["N-03"], timeout=60)
def long_deny_file_inside(lab):
    check_long_list(lab, "only-inside")


@net_case("the long list is in the host's filter", ids=["N-03"], timeout=60)
def long_deny_file_host(lab):
    check_long_list(lab, "only-host")
