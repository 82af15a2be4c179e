# SPDX-License-Identifier: Apache-2.0
# bash completion for carrel: commands, their options, names of sandboxes, ids of execs.
# What there is to complete comes from carrel itself (`carrel help`, `carrel X --help`).

# The commands.
_carrel_commands() {
	carrel help 2>/dev/null | sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p'
}

# The options of a command: -x and --xyz.
_carrel_options() { # COMMAND
	carrel "$1" --help 2>/dev/null |
		sed -n 's/^  \(-., \|    \)\(--[a-z0-9-]*\).*/\1\2/p' | tr -d ' ,' |
		sed 's/^\(-.\)\(--\)/\1\n\2/'
}

# Does this option of a command take a value? One that does has it one space behind.
_carrel_takes_value() { # COMMAND OPTION
	carrel "$1" --help 2>/dev/null | grep -Eq -- " $2(, --[a-z0-9-]+)? [^ ]"
}

# Offers those lines of standard input that begin as the word does. Not by compgen -W, which
# would run what a name has in $(...).
_carrel_offer() { # WORD
	local line quoted
	while IFS= read -r line; do
		[[ $line == "$1"* ]] || continue
		printf -v quoted %q "$line"
		COMPREPLY+=("$quoted")
	done
}

# Root directories by name: the host's, and those in the store.
_carrel_rootfs() {
	printf '%s\n' host
	carrel rootfs ls -q 2>/dev/null
}

# Sandboxes that the command could be about.
_carrel_names() { # COMMAND
	case $1 in
	ensure | rm | inspect | exec) carrel ps -a -q 2>/dev/null ;;
	*) carrel ps -q 2>/dev/null ;;
	esac
}

# Profiles, and files for those words that can name one.
_carrel_policies() { # VERB WORD
	if [ "$1" = show ] && [[ $2 != */* ]]; then
		_carrel_offer "$2" < <(carrel policy show 2>/dev/null | sed '1d; s/ .*//')
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
	fi
}

_carrel() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} word i names=()

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		_carrel_offer "$cur" < <(_carrel_commands; printf '%s\n' --help --version)
		return
	fi
	[ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	[ "$cur" != = ] || cur=
	case $prev in
	--network) _carrel_offer "$cur" < <(printf '%s\n' none egress) && return ;;
	--format) _carrel_offer "$cur" < <(printf '%s\n' table json) && return ;;
	-s | --signal)
		_carrel_offer "$cur" < <(printf '%s\n' HUP INT QUIT KILL USR1 USR2 TERM CONT STOP)
		return
		;;
	--rootfs)
		_carrel_offer "$cur" < <(_carrel_rootfs)
		[[ $cur != */* ]] || mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--env-file | --result-file | --policy | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-v | --volume | --store)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	esac
	# The words in front of this one that are neither options nor their values.
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		=) i=$((i + 1)) ;; # "--name=value" is three words here
		-?*)
			[ "${COMP_WORDS[i + 1]}" != = ] && [ ${#names[@]} -eq 0 ] &&
				_carrel_takes_value "$command" "$word" && i=$((i + 1))
			;;
		*) names+=("$word") ;;
		esac
	done
	if [ ${#names[@]} -eq 0 ] && [[ $cur == -* ]]; then
		_carrel_offer "$cur" < <(_carrel_options "$command")
		return
	fi
	case $command:${#names[@]} in
	exec:0 | ensure:0 | execs:0 | kill:0 | cancel:0 | wait:0 | logs:0 | stats:0)
		_carrel_offer "$cur" < <(_carrel_names "$command")
		;;
	kill:1 | cancel:1 | wait:1 | logs:1)
		_carrel_offer "$cur" < <(carrel execs -q "${names[0]}" 2>/dev/null)
		;;
	stop:* | rm:* | inspect:* | pause:* | unpause:* | touch:*)
		_carrel_offer "$cur" < <(_carrel_names "$command")
		;;
	policy:0) _carrel_offer "$cur" < <(printf '%s\n' check show) ;;
	policy:*) _carrel_policies "${names[0]}" "$cur" ;;
	rootfs:0) _carrel_offer "$cur" < <(printf '%s\n' ls import rm) ;;
	rootfs:*)
		case ${names[0]} in
		rm) _carrel_offer "$cur" < <(carrel rootfs ls -q 2>/dev/null) ;;
		import) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		esac
		;;
	network:0) _carrel_offer "$cur" < <(printf '%s\n' up down show) ;;
	run:* | exec:*) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	esac
}

complete -o default -F _carrel carrel
