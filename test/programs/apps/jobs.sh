# Background jobs that fork for every step, traps, waits, subshells, here documents and a named pipe. Each keeps its log
# open: a restart takes back what is open, not what is opened anew for each line.
mkfifo queue
signals=0
trap 'signals=$((signals + 1))' USR1
trap 'echo "exit trap, $signals signals"; rm -f queue' EXIT

worker() {
  n=0
  hash=$1
  exec 4>"worker-$1.log"
  while [ "$n" -lt 130 ]; do
    n=$((n + 1))
    hash=$(echo "$hash $n" | cksum | cut -d' ' -f1)
    echo "$n $hash" >&4
  done
  exit "$1"
}

(
  while read -r word; do echo "heard $word"; done <queue >heard.log
) &
listener=$!
exec 3>queue
for i in 1 2 3; do
  worker "$i" &
  eval "pid_$i=\$!"
done
i=0
while [ "$i" -lt 60 ]; do
  i=$((i + 1))
  kill -USR1 $$
  echo "word-$i" >&3
  sleep 0.03
done
exec 3>&-
for i in 1 2 3; do
  eval "wait \$pid_$i"
  echo "worker $i ended with $?"
done
wait "$listener"
echo "listener ended with $?"
cat <<END
signals: $signals
END
( exit 9 )
exit $?
