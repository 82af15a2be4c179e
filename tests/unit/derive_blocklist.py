#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Derives the blocklist from its tables a second time, for a test to compare.

usage: derive_blocklist.py special-purpose.csv platform.csv > blocklist_derived.h

Nothing is sorted and merged here, as the program does it: the address space is cut at
every edge of a block, and each piece is asked whether a block covers it.
"""

import csv
import ipaddress
import sys

GLOBAL6 = ipaddress.ip_network("2000::/3")


def column(path, name):
    with open(path, newline="", encoding="ascii") as f:
        return [row[name] for row in csv.DictReader(f, strict=True)]


def covered(networks):
    """The longest ranges of addresses that lie in some network, as (first, last)."""
    bounds = [(int(n.network_address), int(n.broadcast_address)) for n in networks]
    edges = sorted({first for first, _ in bounds} | {last + 1 for _, last in bounds})
    ranges = []
    for start, end in zip(edges, edges[1:]):
        if not any(first <= start <= last for first, last in bounds):
            continue
        if ranges and ranges[-1][1] + 1 == start:
            start = ranges.pop()[0]
        ranges.append((start, end - 1))
    return ranges


def print_table(name, address, networks):
    print(f"\nstatic const char *const {name}[][2] = {{")
    for first, last in covered(networks):
        print(f'\t{{ "{address(first)}", "{address(last)}" }},')
    print("};")


def print_family(version, address, blocks, name, platform):
    def ours(networks):
        return [n for n in networks if n.version == version]

    print_table(f"derived_{name}", address, ours(blocks))
    print_table(f"derived_platform{version}", address, ours(platform))


def main():
    special, platform = sys.argv[1:]
    blocks = [ipaddress.ip_network(text) for text in column(special, "block")]
    single = [ipaddress.ip_network(text) for text in column(platform, "address")]
    shown = [n for n in blocks if n.version == 4 or n.subnet_of(GLOBAL6)]
    print("/* Made by tests/unit/derive_blocklist.py; do not edit. */\n#pragma once")
    print_family(4, ipaddress.IPv4Address, shown, "deny4", single)
    print_family(6, ipaddress.IPv6Address, shown, "except6", single)


main()
