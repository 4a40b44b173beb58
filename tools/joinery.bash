# SPDX-License-Identifier: Apache-2.0
# Completion of joinery(1) for bash.
_joinery() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} options='--help'
    local file=${before//[\\\'\"]/} # as it is typed, it may be quoted
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'inspect verify dump compact recover follow compare keygen --help --version' -- "$current")
        return
    fi
    case $before in
        --interval | --count | --timeout | -c | --collection) return ;;
    esac
    case $command in
        inspect | verify | dump | compact) options+=' --json --key-file' ;;
        recover) options+=' --json --key-file --new-key-file' ;;
        follow) options+=' --json --interval --count --collection --insecure --identity' ;;
        compare) options+=' --json --key-file --timeout --collection --insecure --identity' ;;
        keygen) options+=' --json --public' ;;
        *) return ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == dump && $COMP_CWORD -gt 2 && -f $file ]] && command -v python3 >/dev/null; then
        local IFS=$'\n' # names may have blanks
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" inspect --json "$file" 2>/dev/null |
            python3 -c 'import json, shlex, sys
print(*(shlex.quote(c["name"]) for c in json.load(sys.stdin)["collections"]), sep="\n")' 2>/dev/null)" -- "$current")
    else
        [[ $command == follow && $before != --identity ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
        if ((${#COMPREPLY[@]})); then
            compopt -o filenames 2>/dev/null
        elif [[ $command == follow || $command == compare ]]; then
            compopt -o nospace 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -W 'tcp:// ipc://' -- "$current")
        fi
    fi
}
complete -F _joinery joinery
