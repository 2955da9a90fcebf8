# An editor that fills the screen, in a terminal of tmux, and a script that types into it; arguments: editor, lines.
exec 3>log
in_tmux() { tmux -f /dev/null -S tmux.sock "$@"; }
type() { in_tmux send-keys -t work "$@"; }
mkdir lines
echo "line 1, the first one" >text.txt
in_tmux new-session -d -s work -x 80 -y 24 "$1 -u NONE -N text.txt; echo it ended with status \$? >end.txt"
line=1
while [ "$line" -lt "$2" ]; do
  line=$((line + 1))
  type "oline $line, " "typed on line $line" Escape
  # Lines are changed, taken back and moved: all of it passes through the screen.
  [ $((line % 7)) -eq 0 ] && type ":2,\$s/typed/written/" Enter "uGkddp"
  # Each time into another file: an editor asks before it writes one that has changed since it read it.
  type ":.w! lines/$line.txt" Enter
  until [ -s "lines/$line.txt" ]; do sleep 0.01; done
  echo "$line" >&3
done
until in_tmux capture-pane -p -t work | grep -q "lines/$line.txt.* written"; do sleep 0.01; done
# All but the last line, which says whether there was such a file.
in_tmux capture-pane -p -t work | sed '$d' >screen.txt
type ":%!sort" Enter ":w! sorted.txt" Enter ":q!" Enter
until [ -s end.txt ]; do sleep 0.01; done
cat end.txt
# The server ends with its last session.
while in_tmux ls >/dev/null 2>&1; do sleep 0.01; done
rm -f tmux.sock
