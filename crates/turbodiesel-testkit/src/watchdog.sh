# Runs one private PostgreSQL server, and removes every trace of it.
#
# $1        its folder, which is made here
# $2        the folder of the server's programs
# $3 …      arguments of `postgres`
# TESTKIT_* the superuser's password, and optionally pg_hba.conf, the TLS certificate and its key
#
# Standard input is the lifeline. The process that wants the server holds the other end of the pipe
# and never writes to it. However that process ends, the kernel closes its end, and the server goes.
set -eu
umask 077
# A signal to a whole terminal or job must not end the watchdog before the server.
trap '' HUP INT TERM

folder=$1 programs=$2
shift 2
exec 3<&0 </dev/null

# Fails if the name is taken, so that nothing made by somebody else is ever removed below.
mkdir "$folder"

remove_folder() {
    # A second try, for a file that a dying server process wrote while the first was under way.
    rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
}

give_up() {
    tail -n 40 "$folder/log" >&2 || :
    remove_folder
    exit 1
}

printf '%s\n' "$TESTKIT_PASSWORD" >"$folder/password"
"$programs/initdb" -D "$folder/data" -U postgres --pwfile="$folder/password" \
    --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C --no-sync \
    >"$folder/log" 2>&1 3<&- || give_up
if [ -n "${TESTKIT_HBA-}" ]; then
    printf '%s\n' "$TESTKIT_HBA" >"$folder/data/pg_hba.conf"
fi
if [ -n "${TESTKIT_TLS_CERTIFICATE-}" ]; then
    printf '%s\n' "$TESTKIT_TLS_CERTIFICATE" >"$folder/data/server.crt"
    printf '%s\n' "$TESTKIT_TLS_KEY" >"$folder/data/server.key"
fi

"$programs/postgres" -D "$folder/data" -k "$folder" "$@" >"$folder/log" 2>&1 3<&- &
server=$!

# SIGQUIT is the immediate shutdown: the data is thrown away, and a stuck server process cannot
# delay it for more than five seconds. It is repeated because the first one may come before the
# server has installed its handlers. Fractions of a second are not in every shell's `sleep`.
{
    read -r _ <&3 || :
    while kill -QUIT "$server"; do sleep 0.1 || sleep 1; done
} >/dev/null 2>&1 &
lifeline=$!

# Returns when the server is gone, whether it was told to go or failed. The log is for the latter.
wait "$server" || :
kill -KILL "$lifeline" 2>/dev/null || :
give_up
