#!/usr/bin/env bash
# Does the README hold on a bare system? Makes a minimal Debian with nothing but what the README asks for,
# clones the commit checked out here into it, runs `make book` and `make test` there as an ordinary user,
# prints exit codes and times, and removes it all. Needs root, debootstrap and some 20 GB of disk.
#
#   tools/bare.sh [--chromium] [--copy PATH]... [MIRROR]
#
# --chromium   install Chromium too, so that the browser tests run
# --copy PATH  copy a file or folder of the host to the same place inside: a certificate, pip.conf, a folder
#              of wheels, whatever pip needs here; the host's PIP_* variables are passed on in any case
# MIRROR       where to take Debian from; if left out, what the host's apt takes it from
set -euo pipefail

fail() {
    echo "tools/bare.sh: $*" >&2
    exit 2
}

# All is mounted in a namespace that ends with the inner run. Should grep find a mount here all the same,
# it prints it, and the folder stays.
if [ "${1-}" != --into ]; then
    [ "$(id -u)" = 0 ] || fail "root is needed"
    root=$(mktemp -d)
    trap '! grep -F " $root" /proc/self/mounts && rm -rf --one-file-system "$root"' EXIT
    unshare --mount bash "$0" --into "$root" "$@"
    exit
fi
root=$2
shift 2

packages=(git make python3 python3-venv) copies=() mirror=
while [ $# -gt 0 ]; do
    case $1 in
        --chromium) packages+=(chromium) ;;
        --copy) copies+=("$(realpath -es "$2")") && shift ;;
        -*) fail "unknown option $1" ;;
        *) mirror=$1 ;;
    esac
    shift
done
command -v debootstrap >/dev/null || fail "debootstrap is needed"
# shellcheck disable=SC2016 # apt-get fills in the variable
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | sort -u | head -n 1 || true)
[ -n "$mirror" ] || fail "apt knows no mirror of Debian: name one"
repository=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
commit=$(git -C "$repository" rev-parse --short HEAD)

inside() { # COMMAND...: run it in the new system as root
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}

settings=()
for name in "${!PIP_@}"; do settings+=("$name=${!name}"); done
results=() failed=0
timed() { # COMMAND...: run it as the reader in the clone, note the exit code and the time
    local start=$SECONDS code=0
    chroot --userspec=reader "$root" env -i --chdir=/srv/reader/regtools \
        HOME=/srv/reader PATH=/usr/bin:/bin "${settings[@]}" "$@" || code=$?
    results+=("$*: exit code $code, $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s")
    [ "$code" = 0 ] || failed=1
}

debootstrap --variant=minbase --include=ca-certificates trixie "$root" "$mirror"
chmod 755 "$root" # mktemp had shut out everybody but root
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
inside apt-get install -y -qq --no-install-recommends "${packages[@]}"
[ ${#copies[@]} = 0 ] || cp -rL --parents -t "$root" "${copies[@]}"
inside useradd --create-home --home-dir /srv/reader reader
git clone --quiet --no-hardlinks "$repository" "$root/srv/reader/regtools"
inside chown -R reader: /srv/reader/regtools

timed make book
timed make test
echo
echo "Debian $(cat "$root/etc/debian_version"), $(inside python3 --version), commit $commit:"
printf '%s\n' "${results[@]}"
exit "$failed"
