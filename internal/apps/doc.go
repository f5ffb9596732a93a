// Package apps reads apps.yaml, the list of the apps that are ours: whose they are, which
// tokens sign their callbacks, and which limits and steps hold for them.
//
//	defaults: {time_zone: Asia/Shanghai, steps: {watch: 70, warning: 80, critical: 90, exhausted: 100}, rate_limit: {per_second: 200, burst: 1000}, alarm_rate_limit: {per_second: 100, burst: 1000}}
//	apps:
//	  - sdk_app_id: 1400000001          # required, unique, a positive integer
//	    name: Harbor Chat               # required
//	    owner: team-harbor
//	    tier: pro
//	    site: cn                        # cn or intl
//	    tokens: ["file:/run/secrets/harbor", "env:HARBOR_OLD"]   # several while a token is being rotated; none: callbacks are not signed
//	    time_zone: Asia/Shanghai        # these four where the app differs from the defaults, each key by itself
//	    steps: {watch: 75}
//	    rate_limit: {per_second: 500}
//	    alarm_rate_limit: {per_second: 20}
//
// alarm_rate_limit is of the quota alarm alone, rate_limit of every other callback: neither
// uses up the other's.
//
// The file is strict: every mistake is reported at once, with its line and what to write
// instead. What is read becomes a Snapshot, which never changes; a changed file makes a new
// one (package reload).
//
// Both binaries read the same file, but only the gateway resolves tokens: the consumer
// checks how they are written and needs access to none. A token prints as ***, whatever
// prints it, and no problem shows one. Paths of token files are relative to the working
// directory; these files are watched like apps.yaml itself, the environment is not.
package apps
