#!/bin/sh
# Runs a server and removes its folder after it, so that neither is left behind, however the one that started it ends.
# A line on stdin stops the server in order. The end of stdin, which the kernel brings about where the holder was killed
# or kept the server in a static, kills it.
#
#   leash.sh FOLDER COMMAND...
folder=$1
shift

# A shell gives its background jobs /dev/null for stdin, so the watcher needs the pipe under another number.
exec 3<&0
"$@" 3<&- &
server=$!

{
  if read -r _ <&3; then signal=TERM; else signal=KILL; fi
  trap '' TERM
  kill "-$signal" "$server"
  tries=100
  while kill -0 "$server" && [ "$tries" -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
  done
  kill -KILL "$server"
  rm -rf "$folder"
} 2>/dev/null &
watcher=$!

wait "$server"
status=$?
# Ends a watcher that still reads; one that is at work ignores this.
kill "$watcher" 2>/dev/null
wait "$watcher"
exit "$status"
