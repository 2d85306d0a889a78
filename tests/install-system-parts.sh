#!/bin/sh
# Install what the tests need from the system's packages, where that is possible: Debian or Ubuntu, as root.
# Elsewhere the tests that need a missing part skip with a line that names it.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -x /usr/sbin/slapd ] || missing="$missing slapd ldap-utils"
# Replicas: what they share, and what stands in front of them.
[ -x /usr/bin/redis-server ] || missing="$missing redis-server"
[ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
# What signs policies that are published.
command -v minisign >/dev/null 2>&1 || missing="$missing minisign"
# The second opinion on OpenID Connect; some packages of nodejs bring npm.
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  # RUNLEVEL=1: no server is started by being installed.
  # shellcheck disable=SC2086  # a list of package names
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "not installed, so some tests will skip:$missing" >&2
fi
