"""completion bash|zsh|fish: scripts for shells, which ask `completion words` what may come next in a command line.

What may come is what the usage texts say (grammar.py); in the place of names there come ids, names and pins of what is
in the kernel now. Anybody may have given a program its name: a candidate is data to the scripts, never code.
"""

from __future__ import annotations

from .. import grammar
from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..verbs import Args, Family

    Candidates = Iterable[tuple[str, str]]
    """(word, what it is), the second for shells that show it"""

FILES, DIRECTORIES, NOTHING = "files", "directories", "nothing"  # what the shell is to add of its own
MAX_CANDIDATES = 2000

BASH = r"""# bash completion for bcctool: source <(bcctool completion bash)
_bcctool() {
    local words=() word cur line candidate i
    # bash has split words at its COMP_WORDBREAKS, some of which may be part of a name or path.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((${#words[@]})) && [[ $word == [:=]* || ${words[-1]} == *[:=] ]] && [[ $word != "" || $i == "$COMP_CWORD" ]]
        then words[-1]+=$word
        else words+=("$word")
        fi
    done
    cur=${COMP_WORDS[COMP_CWORD]}
    [[ $cur == [:=] ]] && cur=
    local before=${words[-1]%"$cur"} lines=()
    mapfile -t lines < <("$1" completion words -- "${words[@]}" 2>/dev/null)
    COMPREPLY=()
    for line in "${lines[@]:1}"; do
        candidate=${line%%$'\t'*}
        printf -v candidate %q "${candidate#"$before"}"
        COMPREPLY+=("$candidate")
    done
    case ${lines[0]-} in
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
    esac
}
complete -F _bcctool bcctool
"""
ZSH = r"""#compdef bcctool
# zsh completion for bcctool: source <(bcctool completion zsh), after compinit
_bcctool() {
    local -a lines names shown
    local line
    lines=("${(@f)$("${(Q)words[1]}" completion words -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${(@)lines[2,-1]}"; do
        names+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  }")
    done
    (($#names)) && compadd -l -d shown -a names
    case ${lines[1]-} in
        files) _files ;;
        directories) _files -/ ;;
    esac
}
# As a file in fpath this is the function itself, when it is needed first.
if [[ $funcstack[1] == _bcctool ]]; then _bcctool "$@"; else compdef _bcctool bcctool; fi
"""
FISH = r"""# fish completion for bcctool: bcctool completion fish | source
function __bcctool_words
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] completion words -- $words[2..-1] 2>/dev/null)
    switch "$lines[1]"
        case files directories
            __fish_complete_path (commandline -ct)
    end
    if test (count $lines) -gt 1
        printf '%s\n' $lines[2..-1]
    end
end
complete -c bcctool -f -a '(__bcctool_words)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def run(args: Args, cli: Cli) -> str:
    """What `completion SHELL`, or `completion words -- WORD... LAST`, prints. Error for another shell."""
    shell = args.next("one of bash, zsh, fish")
    if shell == "words":
        return "\n".join(answer(args.words, cli)) + "\n"
    args.end()
    if shell not in SCRIPTS:
        raise Error(f"no completion for '{shell}': bash, zsh and fish are known")
    return SCRIPTS[shell] + (fish_options(cli) if shell == "fish" else "")


def fish_options(cli: Cli) -> str:
    """fish asks no function about words that begin with `-`: the options as it wants them declared."""
    rows = [(letter, name, " -r -F" if takes else "") for letter, name, takes, _ in cli.options]
    return "".join(f"complete -c bcctool -s {letter} -l {name}{takes}\n" for letter, name, takes in rows)


class Cli:
    """The command line's declarations: what cli.py has of OPTIONS, of commands with their words, and of families."""

    def __init__(
        self, options: Sequence[tuple[str, str, bool, tuple[str, ...]]], commands: Mapping[str, str],
        objects: Sequence[str], family: Callable[[str], Family],
    ) -> None:  # fmt: skip
        self.options, self.commands, self.objects, self.family = options, commands, objects, family


def answer(words: Sequence[str], cli: Cli) -> Iterator[str]:
    """What the shell is to add, then a line per candidate for the last word: it, a tab, and what it is."""
    *before, last = words or [""]
    found = labels(before, last, cli)
    places = {PLACES.get(label, NOTHING) for label in found} - {NOTHING}
    yield FILES if FILES in places else DIRECTORIES if places else NOTHING
    seen = {""}
    for label in found:
        for word, what in candidates(label):
            if word.startswith(last) and word not in seen and word.isprintable():
                seen.add(word)
                yield f"{word}\t{what}" if what.isprintable() and what else word
                if len(seen) > MAX_CANDIDATES:
                    return


def labels(before: Sequence[str], last: str, cli: Cli) -> list[str]:
    """Keywords and names of what may come after these words, or options if the last word begins as one."""
    takers = [f for letter, name, takes, _ in cli.options if takes for f in (f"-{letter}", f"--{name}")]
    if before and before[-1] in takers:
        return ["FILE"]
    if last.startswith("-"):
        return [f"--{name}" for _, name, _, _ in cli.options if name] + [f"-{letter}" for letter, *_ in cli.options]
    kept = [word for at, word in enumerate(before)
            if not word.startswith("-") and not (at and before[at - 1] in takers)]  # fmt: skip
    if not kept:
        return list(cli.objects)
    name = next((name for name in cli.objects if name.startswith(kept[0])), None)
    if name is None:
        return []
    if name in cli.commands:
        return grammar.following(grammar.parse(cli.commands[name]), kept[1:])
    family = cli.family(name)
    if len(kept) == 1:
        return [word for verb in family.verbs for word in (verb.name, verb.alias) if word] + ["help"]
    verb = family.find(kept[1])
    return grammar.following(grammar.of_verb(family, verb.name), kept[2:]) if verb else []


def candidates(label: str) -> Candidates:
    """The words that a label stands for now; what can't be asked for (no root, no BPF) has none."""
    if not grammar.is_name(label):
        return [(label, "")]
    try:
        return list(SOURCES[label]()) if label in SOURCES else ()
    except (Error, OSError):
        return ()


def _progs(word: Callable[[str, str, str], tuple[str, str]]) -> Iterator[tuple[str, str]]:
    from ..objects.prog import Prog

    for prog in Prog.all():
        with prog:
            yield word(str(prog.id), prog.full_name, prog.tag)


def _maps() -> Iterator[tuple[str, str, str]]:
    from ..objects.map import Map

    for map_ in Map.all():
        with map_:
            yield str(map_.id), map_.name, map_.type


def _links() -> Iterator[tuple[str, str]]:
    from ..objects.link import Link

    for link in Link.all():
        with link:
            yield str(link.id), link.name


def _btfs() -> Iterator[tuple[str, str]]:
    from ..objects.btf import Btf

    for btf in Btf.all():
        with btf:
            yield str(btf.id), btf.name


def _pins() -> Iterator[tuple[str, str]]:
    from ..kernel import bpf
    from ..objects.pins import pins

    for kind, what in ((bpf.PROG, "program"), (bpf.MAP, "map"), (bpf.LINK, "link")):
        for id, paths in pins(kind).items():
            yield from ((path, f"{what} {id}") for path in paths)


def _devices() -> Iterator[tuple[str, str]]:
    import socket

    return ((name, "") for _, name in socket.if_nameindex())


def _processes() -> Iterator[tuple[str, str]]:
    from ..kernel import proc

    return ((str(pid), proc.comm(pid)) for pid in proc.pids())


def _tools() -> Iterator[tuple[str, str]]:
    from .bcc_run import names

    return ((name, "") for name in names())


SOURCES: dict[str, Callable[[], Candidates]] = {
    "PROG_ID": lambda: _progs(lambda id, name, tag: (id, name)),
    "PROG_NAME": lambda: _progs(lambda id, name, tag: (name, f"program {id}")),
    "PROG_TAG": lambda: _progs(lambda id, name, tag: (tag, name)),
    "MAP_ID": lambda: ((id, name) for id, name, _ in _maps()),
    "MAP_NAME": lambda: ((name, f"{type_} {id}") for id, name, type_ in _maps()),
    "LINK_ID": _links,
    "BTF_ID": _btfs,
    "PID": _processes,
    "TOOL": _tools,
    grammar.PINNED: _pins,
    grammar.DEVICE: _devices,
}
# What the shell itself knows.
PLACES = dict.fromkeys(("CGROUP", "CGROUP_ROOT", "DIR", "LINK_DIR"), DIRECTORIES) | dict.fromkeys(
    ("FILE", "OBJ", "PATH", "BTF_FILE", "OUT", "F", "INPUT", "OUTPUT", "OBJECT", "OUTPUT_FILE", "INPUT_FILE",
     grammar.PINNED), FILES,
)  # fmt: skip
