# SPDX-License-Identifier: Apache-2.0
#
#	make		build/carrel, build/carreld and build/carrel-init
#	make demo	install what is missing, build, and show the main job
#	make check	install what is missing, and run every test
#	make bench	side by side with the kernel's floor and with peers
#	make help	all targets
#
# DEV=1: warnings are errors, and gcc's analyser runs. SAN=address,undefined BUILD=DIR: a
# build with sanitizers, which wants a directory of its own.

VERSION := 0.1.0
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
DEV     ?=
BUILD   ?= build
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3
KERNELS ?= 6.1 6.12

WARN := -Wall -Wextra -Wshadow -Wformat=2 -Wvla -Walloca -Wswitch-enum -Wstrict-prototypes \
	-Wmissing-prototypes -Wundef -Wdate-time
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection
# Not every compiler takes these: asked before they are used.
probe = $(shell $(CC) $(1) -Werror -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))
HARDEN += $(call probe,-ftrivial-auto-var-init=zero)

# A sanitized program cannot be static, and brings its own checks instead of FORTIFY.
ifeq ($(SAN),)
OPT  := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
LINK := -static-pie
else
OPT  := -O1 -g -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK := -pie -fsanitize=$(SAN)
endif
ifneq ($(DEV),)
WARN += -Werror $(if $(findstring gcc,$(CC)),-fanalyzer)
endif

CPPFLAGS := -D_GNU_SOURCE -DCARREL_VERSION='"$(VERSION)"' -I. -I$(BUILD)/gen
CFLAGS   := -std=gnu17 -fPIE $(OPT) $(WARN) $(HARDEN) -ffile-prefix-map=$(CURDIR)=. -MMD -MP
LDFLAGS  := $(LINK) -Wl,-z,relro,-z,now -Wl,-z,noexecstack

sources = $(sort $(wildcard $(1)/*.c $(1)/*.S))
objects = $(patsubst %,$(BUILD)/obj/%.o,$(basename $(1)))
# Programs with a main of their own, and what only the build itself runs.
BENCH    := $(sort $(wildcard tools/bench*.c tools/floor*.c))
POOL_BENCH := $(sort $(wildcard tools/pool_bench*.c))
TOP      := $(sort $(wildcard tools/carrel-top*.c))
ROOTFS   := $(sort $(wildcard tools/carrel-rootfs*.c))
MAINS    := tools/carrel-init.c tools/carrel.c tools/carreld.c $(TOP) $(ROOTFS) $(BENCH) $(POOL_BENCH) $(sort $(wildcard policy/seccomp_gen*.c policy/seccomp_rules*.c)) \
	$(sort $(wildcard netns/*_gen.c netns/*_rules.c))
LIB_DIRS := base rootfs netns policy runtime
LIB_OBJ  := $(call objects,$(filter-out $(MAINS),$(foreach d,$(LIB_DIRS),$(call sources,$(d)))))
BENCH_OBJ := $(call objects,$(BENCH))
POOL_BENCH_OBJ := $(call objects,$(POOL_BENCH) $(filter tools/floor%,$(BENCH)))
TOP_OBJ  := $(call objects,$(TOP))
ROOTFS_OBJ := $(call objects,$(ROOTFS))
TOOLS_OBJ := $(call objects,$(filter-out $(MAINS),$(call sources,tools)))

.DEFAULT_GOAL := all
.PHONY: all help deps deps-check demo check lint unit live vm sanitize fuzz fuzz-programs bench install deb clean golden-seccomp
.DELETE_ON_ERROR:
.SECONDARY:

MAN := $(patsubst tools/man/%.scd,$(BUILD)/%,$(sort $(wildcard tools/man/*.scd)))

all: $(BUILD)/carrel $(BUILD)/carreld $(BUILD)/carrel-init $(BUILD)/carrel-top $(BUILD)/carrel-rootfs $(MAN)

help:
	@sed -n 's/^#\t\(make.*\)/\1/p' Makefile
	@echo 'make lint unit live vm sanitize fuzz	the parts of make check'
	@echo 'make install PREFIX=/usr/local	programs, units and man pages'
	@echo 'make deb			a Debian package of them, in build/'

# --- programs ------------------------------------------------------------------------

# An archive: each program is linked with what it needs of it.
$(BUILD)/libcarrel.a: $(TOOLS_OBJ) $(LIB_OBJ)
	rm -f $@
	ar rcs $@ $^

$(BUILD)/carrel $(BUILD)/carreld: $(BUILD)/%: $(BUILD)/obj/tools/%.o $(BUILD)/libcarrel.a
	$(CC) $(LDFLAGS) -o $@ $^ -l:libjansson.a -l:libinih.a

# Not static: the descriptions of terminals and the library that reads them are the host's.
$(BUILD)/carrel-top: $(TOP_OBJ) $(BUILD)/libcarrel.a
	$(CC) $(LDFLAGS) -o $@ $^ -l:libjansson.a -l:libncursesw.a -l:libtinfo.a

# What unpacks archives, apart from everybody who does not.
$(BUILD)/carrel-rootfs: $(ROOTFS_OBJ) $(BUILD)/libcarrel.a
	$(CC) $(LDFLAGS) -o $@ $^ -l:libjansson.a -l:libinih.a -l:libarchive.a -l:liblzma.a \
		-l:libzstd.a -l:libz.a -l:libmd.a

# No libc, no sanitizer: it runs alone in the sandbox.
$(BUILD)/carrel-init: tools/carrel-init.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -Os $(WARN) -ffreestanding -fno-stack-protector \
		-fno-asynchronous-unwind-tables -fcf-protection=none -static -nostdlib \
		-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,noexecstack -s -o $@ $<

$(BUILD)/obj/runtime/interface_bytes.o: tools/io.carrel.Pool.varlink
$(BUILD)/obj/runtime/init_bytes.o: $(BUILD)/carrel-init
$(BUILD)/obj/runtime/init_bytes.o: CPPFLAGS += -DINIT_IMAGE='"$(BUILD)/carrel-init"'

# The filter is compiled when carrel is: 1 ms less at every start, and no libseccomp.
$(BUILD)/seccomp_gen: $(sort $(wildcard policy/seccomp_gen*.c policy/seccomp_rules*.[ch])) \
		$(call objects,$(call sources,base))
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) $(if $(SAN),$(LINK)) -o $@ \
		$(filter %.c %.o,$^) -lseccomp

$(BUILD)/gen/policy/seccomp_default.h: $(BUILD)/seccomp_gen
	@mkdir -p $(@D)
	$< $@ $(BUILD)/gen/policy/seccomp_default.pfc

$(BUILD)/obj/policy/seccomp.o: $(BUILD)/gen/policy/seccomp_default.h

# What is never reached is derived from tables, so that a review sees rows and not bytes.
BLOCKLIST_CSV := netns/special-purpose.csv netns/platform.csv

$(BUILD)/blocklist_gen: netns/blocklist_gen.c $(call objects,$(call sources,base) netns/ip.c)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) $(if $(SAN),$(LINK)) -o $@ \
		$(filter %.c %.o,$^)

$(BUILD)/gen/netns/blocklist_tables.h: $(BUILD)/blocklist_gen $(BLOCKLIST_CSV)
	@mkdir -p $(@D)
	$< $(BLOCKLIST_CSV) $@

$(BUILD)/obj/netns/blocklist.o: $(BUILD)/gen/netns/blocklist_tables.h

# So are the nftables rules encoded when carrel is: a start sends bytes that are there.
RULESET_GEN := $(sort $(wildcard netns/ruleset_*gen.c netns/ruleset_*rules.c netns/ruleset*.h))

$(BUILD)/ruleset_gen: $(RULESET_GEN)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) $(if $(SAN),$(LINK)) -o $@ \
		$(filter %.c,$^) -lnftnl -lmnl

$(BUILD)/gen/netns/ruleset_messages.h: $(BUILD)/ruleset_gen
	@mkdir -p $(@D)
	$< $@

$(BUILD)/obj/netns/ruleset.o: $(BUILD)/gen/netns/ruleset_messages.h

# For tests only: carrel with one of the two rulesets let everything pass, to see that the
# other one suffices. Same objects but for the encoded rules.
WITHOUT_inside := -DCARREL_TEST_NO_HOST_RULES
WITHOUT_host := -DCARREL_TEST_NO_INSIDE_RULES
ONLY := $(BUILD)/only-inside/carrel $(BUILD)/only-host/carrel

$(BUILD)/only-%/ruleset_gen: $(RULESET_GEN)
	@mkdir -p $(@D)/gen/netns
	$(CC) $(WITHOUT_$*) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) $(if $(SAN),$(LINK)) -o $@ \
		$(filter %.c,$^) -lnftnl -lmnl

$(BUILD)/only-%/ruleset.o: netns/ruleset.c $(BUILD)/only-%/ruleset_gen
	$(BUILD)/only-$*/ruleset_gen $(@D)/gen/netns/ruleset_messages.h
	$(CC) -I$(@D)/gen $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) -c -o $@ $<

$(BUILD)/only-%/carrel: $(BUILD)/only-%/ruleset.o $(BUILD)/obj/tools/carrel.o $(TOOLS_OBJ) $(LIB_OBJ)
	$(CC) $(LDFLAGS) -o $@ $(filter-out $(BUILD)/obj/netns/ruleset.o,$^) \
		-l:libjansson.a -l:libinih.a

golden-seccomp: $(BUILD)/gen/policy/seccomp_default.h
	cp $(BUILD)/gen/policy/seccomp_default.pfc policy/seccomp_default.pfc

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c -o $@ $<

-include $(patsubst %.o,%.d,$(sort $(LIB_OBJ) $(TOOLS_OBJ) $(call objects,$(MAINS))))

# --- documentation -------------------------------------------------------------------

$(BUILD)/%: tools/man/%.scd
	@mkdir -p $(@D)
	scdoc < $< > $@.tmp && mv $@.tmp $@

# --- what a bare machine lacks -------------------------------------------------------

deps:
	@tools/install-packages build

deps-check:
	@tools/install-packages build check

demo: deps
	@$(MAKE) --no-print-directory all
	@tools/demo $(BUILD)/carrel

# --- tests ---------------------------------------------------------------------------

check: deps-check
	@BUILD=$(BUILD) tests/check

lint: all $(BUILD)/bench $(BUILD)/pool-bench
	@LINT_BUILD=$(BUILD) tests/lint/run
	@LINT_BUILD=$(BUILD) tests/lint/manpage
	@LINT_BUILD=$(BUILD) tests/lint/selftest

# A unit test links the folder of what it tests, and base: a call upwards does not link.
# Not with a sanitizer, which makes calls of its own that a front is killed for.
UNIT_SRC := $(filter-out $(if $(SAN),tests/unit/test_runtime_confine.c),$(sort $(wildcard tests/unit/test_*.c)))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
TEST_LIB := $(call objects,$(sort $(wildcard tests/lib/*.c)))
unit_folder = $(word 2,$(subst _, ,$(1)))
unit_objects = $(filter-out $(call objects,$(MAINS)),$(call objects,$(foreach d,$(sort base $(if $(filter runtime tools,$(1)),$(LIB_DIRS)) $(1)),$(call sources,$(d)))))

.SECONDEXPANSION:
$(BUILD)/tests/test_%: tests/unit/test_%.c $(TEST_LIB) $$(call unit_objects,$$(call unit_folder,test_%)) | $(BUILD)/gen/policy/seccomp_default.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) -pie $(if $(SAN),-fsanitize=$(SAN)) -o $@ \
		-DSECCOMP_BUILT_PFC='"$(BUILD)/gen/policy/seccomp_default.pfc"' \
		-DBLOCKLIST_GEN='"$(BUILD)/blocklist_gen"' \
		$(filter %.c %.o,$^) -lcmocka $(if $(filter test_netns%,$(@F)),-lnftnl -lmnl) \
		$(if $(filter test_tools% test_runtime%,$(@F)),-ljansson) $(if $(filter test_tools%,$(@F)),-linih)

# The same tables, read by other means than the program's own.
$(BUILD)/gen/tests/blocklist_derived.h: tests/unit/derive_blocklist.py $(BLOCKLIST_CSV)
	@mkdir -p $(@D)
	$(PYTHON) -B $< $(BLOCKLIST_CSV) > $@

$(BUILD)/tests/test_netns_blocklist: $(BUILD)/gen/tests/blocklist_derived.h $(BUILD)/blocklist_gen

unit: $(UNIT_BIN)
	@tests/unit/run $(UNIT_BIN)

# Whatever reads foreign bytes, with bytes that nobody has thought of. Needs clang.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 10

$(BUILD)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(BUILD)/libcarrel.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) -pie -fsanitize=fuzzer -o $@ \
		$(filter %.c %.a,$^) -l:libjansson.a -l:libinih.a

fuzz-programs: $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)

fuzz:
	@$(MAKE) --no-print-directory CC=clang SAN=address,undefined,fuzzer-no-link \
		BUILD=$(BUILD)-fuzz fuzz-programs
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)-fuzz/fuzz/%)

# Programs that live tests run inside a sandbox: static, so that any rootfs will do.
PROBES := $(patsubst tests/live/%.c,$(BUILD)/probes/%,$(sort $(wildcard tests/live/*.c)))
$(BUILD)/probes/%: tests/live/%.c
	@mkdir -p $(@D)
	gcc $(CPPFLAGS) -std=gnu17 -O1 -static -o $@ $<

$(BUILD)/probes/seccomp_sweep: tests/unit/seccomp_expect.txt

live: all $(PROBES) $(ONLY)
	@CARREL_BUILD=$(BUILD) $(PYTHON) tests/live/run

vm: all $(PROBES) $(ONLY)
	@BUILD=$(BUILD) tests/vm/suite $(if $(VM_ALL),--all) $(KERNELS)

sanitize:
	@$(MAKE) --no-print-directory SAN=address,undefined BUILD=$(BUILD)-san all unit

bench: deps-check
	@$(MAKE) --no-print-directory all $(BUILD)/bench $(BUILD)/pool-bench
	@$(BUILD)/bench $(BUILD)/carrel
	@tools/bench-network $(BUILD)/carrel
	@tools/bench-daemon $(BUILD)

$(BUILD)/bench: $(BENCH_OBJ) $(BUILD)/libcarrel.a
	$(CC) $(LDFLAGS) -o $@ $^ -l:libjansson.a

$(BUILD)/pool-bench: $(POOL_BENCH_OBJ) $(BUILD)/libcarrel.a
	$(CC) $(LDFLAGS) -o $@ $^ -l:libjansson.a

# --- installation --------------------------------------------------------------------

UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
INSTALL_DATA = install -D -m 0644

# Configuration is the administrator's: only an example is installed.
install: all
	install -D -m 0755 $(BUILD)/carrel $(DESTDIR)$(PREFIX)/bin/carrel
	install -D -m 0755 $(BUILD)/carrel-top $(DESTDIR)$(PREFIX)/bin/carrel-top
	install -D -m 0755 $(BUILD)/carrel-rootfs $(DESTDIR)$(PREFIX)/bin/carrel-rootfs
	$(INSTALL_DATA) tools/completion/carrel.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/carrel
	install -D -m 0755 $(BUILD)/carreld $(DESTDIR)$(PREFIX)/sbin/carreld
	for page in $(notdir $(MAN)); do \
		$(INSTALL_DATA) $(BUILD)/$$page \
			$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$page || exit 1; \
	done
	for unit in carreld.service carreld.socket carrel-sandboxes.service; do \
		$(INSTALL_DATA) tools/systemd/$$unit $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	sed -i 's,/usr/sbin/carreld,$(PREFIX)/sbin/carreld,' $(DESTDIR)$(UNITDIR)/carreld.service
	$(INSTALL_DATA) tools/systemd/carrel.sysusers $(DESTDIR)$(SYSUSERSDIR)/carrel.conf
	$(INSTALL_DATA) tools/carrel.conf.example $(DESTDIR)$(PREFIX)/share/doc/carrel/carrel.conf.example
	install -D -m 0755 tools/init-example $(DESTDIR)$(PREFIX)/share/doc/carrel/examples/init
	$(INSTALL_DATA) docs/daemon.md $(DESTDIR)$(PREFIX)/share/doc/carrel/daemon.md
	$(INSTALL_DATA) tools/io.carrel.Pool.varlink $(DESTDIR)$(PREFIX)/share/varlink/io.carrel.Pool.varlink

# Everything for a Debian machine, in build/.
deb: all
	+@tools/debian/build $(BUILD) $(VERSION)

clean:
	rm -rf build build-san build-clang build-fuzz
