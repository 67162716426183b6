# Runs one private Redis server as often as it is told to, and removes every trace of it.
#
# $1        its folder, which is made here
# $2        the program, under whatever name it is installed
# $3 …      further arguments of the server
# TESTKIT_* its configuration, and optionally the TLS certificate and its key
#
# Standard input is the lifeline, and a line on it starts the server; its process id is the answer.
# However the process that holds the other end of the pipe ends, the kernel closes its end, and the
# server goes.
set -eu
umask 077
trap '' HUP INT TERM

folder=$1 program=$2
shift 2
exec 3<&0 </dev/null

# Fails if the name is taken, so that nothing made by somebody else is ever removed below.
mkdir "$folder"
printf '%s\n' "$TESTKIT_CONFIGURATION" >"$folder/redis.conf"
if [ -n "${TESTKIT_TLS_CERTIFICATE-}" ]; then
    printf '%s\n' "$TESTKIT_TLS_CERTIFICATE" >"$folder/server.crt"
    printf '%s\n' "$TESTKIT_TLS_KEY" >"$folder/server.key"
fi
# The program looks at the name by which it is called: it is the server and several tools in one.
ln -s "$program" "$folder/redis-server"

while read -r _ <&3; do
    rm -f "$folder/pid"
    : >"$folder/running"
    # Its id is known before it is that program, so that it can be ended at any time.
    (
        sh -c 'echo $$ >"$0/pid"; echo $$; exec "$0/redis-server" "$0/redis.conf" "$@" >>"$0/log" 2>&1' \
            "$folder" "$@" || :
        rm -f "$folder/running"
    ) 3<&- &
done

# SIGKILL also ends a server that is stopped. Fractions of a second are not in every shell's `sleep`.
while [ -e "$folder/running" ]; do
    kill -KILL "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || :
    sleep 0.02 || sleep 1
done
rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
