#!/bin/sh
# Launcher of nvcc: keeps what ptxas says of each kernel's registers and spills in OBJECT.ptxas, and
# shows the rest.
object= previous=
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case $object in
*.o) ;;
*) exec "$@" ;;
esac
"$@" >"$object.ptxas" 2>&1
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.ptxas" >&2
exit $status
