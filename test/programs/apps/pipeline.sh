# Five programs and what flows between them; each tells how far it is in a way that does not depend on who is faster.
# Output files stay open: a restart takes back what is open, not what is opened anew for each line.
exec 3>thousands.txt
seq 1 300000 |
  awk '{
    for (i = 0; i < 40; i++) x = (x * 31 + $1 + i) % 1000003
    print x, $1
    if (NR % 1500 == 0) { print NR, x > "progress"; fflush("progress") }
  }' |
  tee copy.txt |
  sort -S 100M -n -k1,1 -k2,2 |
  while read -r value line; do
    case $line in *000) echo "$line $value" >&3 ;; esac
    echo "$line"
  done |
  cksum
