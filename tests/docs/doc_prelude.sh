# Sourced before a page's commands. Each is printed with its line before it runs; one that fails ends the page.
PS4='+ $PAGE:$LINENO: '
trap '{ failed=$?; set +x; } 2>/dev/null; echo "$PAGE:$LINENO: exit code $failed: $BASH_COMMAND" >&2' ERR
declare -A servers

# in_background COMMAND… --port PORT…: a server, which ends the one before it on its port; until it listens.
in_background() {
  local port process
  { set +x; } 2>/dev/null
  port=$(grep -oP '.*--port \K\d+' <<< "$*")
  if [[ ${servers[$port]} ]]; then kill "${servers[$port]}"; wait "${servers[$port]}" || true; fi
  "$@" &
  process=$!
  servers[$port]=$process
  until curl --silent --output /dev/null "http://127.0.0.1:$port/"; do
    kill -0 $process 2>/dev/null || return 1
    sleep 0.2
  done
  set -x
}
set -ex
