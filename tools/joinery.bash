# SPDX-License-Identifier: Apache-2.0
# Completion of joinery(1) for bash.
_joinery() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} options='--help'
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'inspect verify dump compact recover follow compare --help --version' -- "$current")
        return
    fi
    case $before in
        --interval | --count | --timeout | -c | --collection) return ;;
    esac
    case $command in
        inspect | verify | dump | compact) options+=' --json --key-file' ;;
        recover) options+=' --json --key-file --new-key-file' ;;
        follow) options+=' --json --interval --count --collection --insecure' ;;
        compare) options+=' --json --key-file --timeout --collection --insecure' ;;
        *) return ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == dump && $COMP_CWORD -gt 2 && -f $before ]] && command -v python3 >/dev/null; then
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" inspect --json "$before" 2>/dev/null |
            python3 -c 'import json, sys; print(*(c["name"] for c in json.load(sys.stdin)["collections"]), sep="\n")' \
                2>/dev/null)" -- "$current")
    elif [[ $command == follow ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'tcp:// ipc://' -- "$current")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _joinery joinery
