#!/bin/sh
# Runs a server, and removes its folder afterwards, even if the process that started it is killed.
#
# A line on standard input stops the server with SIGTERM. The end of standard input kills it. The kernel closes the pipe if the
# starting process was killed, or never dropped the server.
#
#   leash.sh FOLDER COMMAND...
folder=$1
shift

# A shell gives background jobs /dev/null as standard input, so the watcher needs the pipe under another number.
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
# Ends a watcher that still reads. One that is stopping the server ignores the signal.
kill "$watcher" 2>/dev/null
wait "$watcher"
exit "$status"
