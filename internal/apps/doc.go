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
//	removed: [1400000007]               # SdkAppids that may be missing above, see below
//	unsigned: [1400000008]              # SdkAppids that may lose all their tokens, see below
//
// alarm_rate_limit is of the quota alarm alone, rate_limit of every other callback: neither
// uses up the other's.
//
// The file is strict: every mistake is reported at once, with its line and what to write
// instead. What is read becomes a Snapshot, which never changes; a changed file makes a new
// one (package reload).
//
// A good file can still be a slip: a template that rendered `apps: []` must not switch off a
// company, nor one that rendered `tokens: []` make an app's callbacks forgeable. So a reload is
// refused (Guard), and the file before stays in use, when it
//
//   - takes out more than a tenth of the apps in use, or any app that sent a callback within the
//     last hour, and does not list each of these under removed;
//   - takes all tokens from an app that has some, and does not list it under unsigned.
//
// An id under removed that is an app, and one under unsigned that has tokens, is a mistake. Ids
// that are no app are not: both lists may stay as they are. A start takes any good file.
//
// Both binaries read the same file, but only the gateway resolves tokens: the consumer
// checks how they are written and needs access to none. A token prints as ***, whatever
// prints it, and no problem shows one. Paths of token files are relative to the working
// directory; these files are watched like apps.yaml itself, the environment is not.
package apps
