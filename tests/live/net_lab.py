# SPDX-License-Identifier: Apache-2.0
"""Does the laboratory of the network tests see what it says it sees? Without carrel."""

import random

from harness import *
from netlab import *

# What must be denied to a sandbox, and must not be invisible here for another reason.
BLOCKED = [METADATA, "168.63.129.16", "10.1.2.3", "100.100.100.200", "172.31.255.254", "192.0.0.192", "198.51.100.1", "203.0.113.7"]
OPEN = ["8.8.8.8", "1.0.0.1", "93.184.216.34", "223.255.255.255"]


@net_case("the internet of the lab answers on every address, and says which it was")
def answers_everywhere(lab):
    responder = lab.answer()
    targets = [(p, a, 80) for p in ("tcp", "udp", "tcp-mapped", "udp-mapped") for a in BLOCKED + OPEN]
    targets += [(p, a, 443) for p in ("tcp", "udp") for a in ("2606:4700::1111", "2001:db8::1", "2a00::1", "fd00:ec2::254")]
    for (_, address, _), answer in reach_from(lab.host, targets).items():
        eq(answer, f"reached {address}", f"answer of {address}")
    eq(len(responder.met), len(targets), "met")
    refused = reach_from(lab.host, [("tcp", "8.8.8.8", 81), ("udp", "8.8.8.8", 81), ("tcp", LAN_PEER, 80)])
    eq(set(refused.values()), {"ECONNREFUSED"}, "closed ports")
    lab.answer(lab.lan)
    eq(reach_from(lab.host, [("tcp", LAN_PEER, 80)]), {("tcp", LAN_PEER, 80): f"reached {LAN_PEER}"})
    eq(reach_from(lab.lan, [("tcp", LAN_HOST, 80)]), {("tcp", LAN_HOST, 80): "ECONNREFUSED"})


@net_case("the tap sees every packet that arrives, also those to addresses that nobody answers")
def tap_sees(lab):
    tap = lab.tap()
    special = ["0.1.2.3", "240.0.0.1", "198.18.0.1", *BLOCKED, *OPEN]
    with lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for address in special:
            s.sendto(b"x", (address, 9))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(UPLINK))
        s.sendto(b"x", ("224.0.0.251", 5353))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.SOL_SOCKET, 25, b"up0\0")  # SO_BINDTODEVICE
        s.sendto(b"x", ("255.255.255.255", 9))
    with lab.host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("64:ff9b::a9fe:a9fe", 9))
    lab.settle()
    for address in [*special, "224.0.0.251", "255.255.255.255", "64:ff9b::a9fe:a9fe"]:
        eq(len(tap.to(address)), 1, f"packets to {address}")
    eq(tap.to("8.8.8.8")[0][1:7], (4, 17, UPLINK, "8.8.8.8", tap.to("8.8.8.8")[0].sport, 9))


@net_case("of a flood of datagrams not one is missed")
def flood(lab):
    tap, count = lab.tap(), 20000 if SCALE <= 1 else 2000
    chosen = random.Random(1)
    sent = {f"{chosen.randrange(11, 120)}.{chosen.randrange(256)}.{chosen.randrange(256)}.1" for _ in range(count)}
    with lab.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for address in sent:
            s.sendto(b"x", (address, 9))
    lab.settle()
    eq({p.dst for p in tap.packets if p.dport == 9} ^ sent, set(), "sent or seen, not both")


@net_case("the lab is a world of its own, and a rule in it is seen there and only there")
def own_world(lab):
    ok(netns_name() != lab.machine, "in the machine's namespace")
    eq(sorted(lab.host.interfaces()), ["dmz0", "lan0", "lo", "up0"])
    eq((lab.sandbox_interfaces(), lab.host.tables()), ([], set()))
    lab.host.nft("table inet x { chain output { type filter hook output priority 0; ip daddr 8.8.8.8 drop; }; }; table ip y {}")
    eq(lab.host.tables(), {"inet x", "ip y"})
    eq((lab.internet.tables(), lab.lan.tables()), (set(), set()))
    lab.answer()
    answers = reach_from(lab.host, [("tcp", "8.8.8.8", 80), ("tcp", "8.8.4.4", 80)], seconds=0.5)
    eq(list(answers.values()), ["silence", "reached 8.8.4.4"])
    eq(lab.host.sysctl("ipv4/ip_forward"), "0")
    lab.host.sysctl("ipv4/ip_forward", 1)
    eq((lab.host.sysctl("ipv4/ip_forward"), lab.lan.sysctl("ipv4/ip_forward")), ("1", "0"))
    lab.host.flush_conntrack()
