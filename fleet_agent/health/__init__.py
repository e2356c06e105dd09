"""The health of one cart: what its cameras and its machine are like, and what it does about it.

- `camera`: is a camera frozen, black, dark, overexposed, blurred? A pure reducer over cheap features.
- `watch`: heartbeats set before each call, and who is stuck.
- `degrade`: the ladder of looking less; `pace`: what each level means.
- `machine`, `nvml`, `tegrastats`: temperatures, throttling, memory, GPU, where they are present.
- `breaker`: too many starts without a clean stop, remembered on disk.
- `systemd`: readiness and the supervisor's watchdog.
- `exposition`, `endpoint`: `/live`, `/ready`, `/metrics`.
- `monitor`: the thread that looks after one agent with all of these.
"""
