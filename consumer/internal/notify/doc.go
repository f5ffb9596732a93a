// Package notify sends the notices that the store holds to people: it reads notify.yaml,
// decides which channels a notice goes to, and runs a sender for each channel.
//
//	Worker.Run ─▶ unrouted notices ─▶ Config.Route ─▶ dispatches (store.Outbox)
//	   └─▶ a sender for each channel ─▶ claim ─▶ one message ─▶ answer ─▶ settle
//
// # notify.yaml
//
//	console: https://tidegate.example/apps/{app}   # link of every message; {app} is the SdkAppid
//	channels:
//	  - name: oncall                    # required, unique: a-z, 0-9, -
//	    type: alertmanager              # alertmanager, webhook, slack, wecom, dingtalk, feishu
//	    url: http://alertmanager:9093   # in clear for alertmanager and webhook, else, and there too, file:, env: or plain:
//	    authorization: "file:/run/secrets/alertmanager"   # header, of alertmanager and webhook
//	    language: en                    # en (default) or zh
//	  - name: harbor-group
//	    type: dingtalk
//	    url: "file:/run/secrets/harbor-robot"
//	    secret: "file:/run/secrets/harbor-robot-sign"     # of webhook (whsec_...), dingtalk, feishu
//	    per_minute: 20                  # messages; beyond it one digest of all that waits
//	    send_resolved: false            # whether the end of a period is told
//	  - name: ticket
//	    type: webhook
//	    url: https://tickets.example/hook
//	    template: '{"summary": {{json .Title}}, "body": {{json .Text}}}'   # of a channel.Message
//	    content_type: application/json
//	rules:                              # every rule that fits adds its channels
//	  - {severity: [critical, exhausted], channels: [oncall]}
//	  - {owner: [team-harbor], tier: [pro], channels: [harbor-group]}
//	default: [oncall]                   # of a notice that no rule fits
//
// The file is strict: every mistake is reported at once, with its line and what to write
// instead; templates are tried with a message of each kind.
//
// # Invariants
//
//   - A channel that is slow or dead delays no other channel, and nothing waits for it in a
//     transaction: saving alarms never waits for people.
//   - A notice is sent to each of its channels until the channel takes it, refuses it for
//     good (parked), or a day is over and it was tried ten times (parked). Parked ones are in
//     the database with what the channel said, in `consumer notify list` and in the metrics;
//     a person can have them sent again, with ten more attempts (`consumer notify resend`).
//   - A message is sent at least once: between the channel's answer and the mark in the
//     database a consumer can be lost, and then the next one sends it again. Webhooks get
//     the same webhook-id, Alertmanager the same labels, so that both can tell; the robots
//     have nothing of the kind, and people see it twice. A digest may be put together
//     otherwise the second time.
//   - Within any minute a channel gets at most per_minute messages; the last of them is a
//     digest of everything that waits. Notices that are more than 15 minutes old come in
//     one digest too.
//   - After a failure a channel is left alone for a second, then two, four and so on up to
//     five minutes, give or take; for longer where it says so (Retry-After).
//   - One app's notices are sent in order, on each channel.
package notify
