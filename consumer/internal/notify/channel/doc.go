// Package channel knows the places that notices are sent to: what a message says, in
// English or Chinese, the exact request that each kind of place wants, and what its answer
// means.
//
//	notices of the store ─▶ Compose ─▶ Message ─▶ Channel.Tell ───▶ one POST ─▶ Answer
//	                    └────────────▶ Alert ───▶ Channel.Alert ──┘
//
// Kinds of channels, and what is theirs alone:
//
//   - alertmanager: Prometheus Alertmanager's API v2. An alert is fired, kept alive by being
//     posted again before its endsAt, and resolved by posting endsAt <= now. Grouping,
//     silences and rotation are Alertmanager's job; equal labels are one alert, so that a
//     post that comes twice tells nobody twice. It is the only one that KeepsAlive.
//   - webhook: Standard Webhooks (standardwebhooks.com): headers webhook-id,
//     webhook-timestamp and webhook-signature, and a body that a Go template may write.
//     The id of what is sent again is the same, so a receiver can tell.
//   - slack, wecom, dingtalk, feishu: the chat robots, each with the body, signature and
//     limits that it documents. They have no idempotency key: what is sent again is seen
//     twice.
//
// # Invariants
//
//   - One call makes at most one request, follows no redirect, and is over after
//     Timeout: whoever is slow costs its own channel that time and nobody else any.
//   - No error and no Answer has a secret in it: not the robots' URLs, which are secrets
//     whole, nor a signing key.
//   - A text is cut to what the place takes, between lines where it can be, with a mark
//     that says how much is missing.
//   - Numbers that the vendor said are shown as "at least, as of": usage may have grown
//     since, and nothing follows from silence.
package channel
