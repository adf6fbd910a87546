# To be sourced: a private stack for a script, which ends with it. Needs `programs`, the folder of the programs.
#
# start_stack [OPTION ...]: options of `oversync-dev dev`. Then $gateway is its address, $authority the certificate to
# trust, $scratch its folder, and $stack its process.

# Longest time until the stack is ready, in seconds.
stack_patience=120

start_stack() {
    scratch=$(mktemp -d)
    "$programs/oversync-dev" dev --directory "$scratch" --port 0 --downloads 1 "$@" >"$scratch/out" 2>&1 &
    stack=$!
    trap stop_stack EXIT
    trap 'exit 130' INT TERM
    local left=$stack_patience
    until [[ -f $scratch/stack.json ]]; do
        if ! kill -0 "$stack" 2>/dev/null || ((left-- == 0)); then
            cat "$scratch/out" >&2
            exit 1
        fi
        sleep 1
    done
    gateway=$(stack_value gateway) authority=$(stack_value authority)
}

stop_stack() {
    kill -INT "$stack" 2>/dev/null
    wait "$stack" 2>/dev/null
    rm -rf "$scratch"
}

stack_value() { sed -nE "s/.*\"$1\" : \"(.*)\".*/\\1/p" "$scratch/stack.json" | sed 's|\\/|/|g'; }
