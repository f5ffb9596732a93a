package reference

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// App is what the apps file says of an app.
type App struct {
	ID                      int64
	Name, Owner, Tier, Site string // empty: the file does not say
	Zone                    *time.Location
	Steps                   Steps
}

// Steps are the percentages of the cap at which the steps begin.
type Steps struct{ Watch, Warning, Critical, Exhausted float64 }

// names are the severities in rising order; a rank is an index of it.
var names = []string{"ok", "watch", "warning", "critical", "exhausted"}

// Times as they stand in events.
const (
	timeForm = "2006-01-02T15:04:05.000Z"
	dateForm = "2006-01-02"
)

// Day is what was computed so far. The maps are read by whoever compares.
type Day struct {
	Alarms  map[string]*Alarm  // by alarm id
	Dead    map[Place]string   // the reason of each dead letter
	Notices map[Notice]*Made   // every notice that people are told
	apps    map[int64]*state   // by SdkAppid
	batch   map[int64][]*offer // what the batch's alarms offer to tell
}

// Alarm is a saved alarm: its one row.
type Alarm struct {
	Event      []byte // JSON with the fields of the event, in alphabetical order
	Deliveries int    // records that say the same
}

// Place is where a record stands.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Notice is what makes a notice unique.
type Notice struct {
	App    int64
	Period string
	Kind   string // step, forecast, digest, resolve
	Step   string
}

// Made is what else is known of a notice.
type Made struct {
	AlarmID string
	At      time.Time // of that alarm
	Now     time.Time // when it was told
}

// New returns a day on which nothing has happened yet.
func New(apps []App) *Day {
	d := &Day{
		Alarms: map[string]*Alarm{}, Dead: map[Place]string{}, Notices: map[Notice]*Made{},
		apps: map[int64]*state{},
	}
	for _, app := range apps {
		d.apps[app.ID] = &state{App: app, ended: map[string]int{}}
	}
	return d
}

// Batch takes records that are handled together at the time now: of an app, people are told
// once, at the end. Records of one app come in the order of their offsets.
func (d *Day) Batch(records []Record, now time.Time) error {
	d.batch = map[int64][]*offer{}
	for i := range records {
		if err := d.record(&records[i]); err != nil {
			return err
		}
	}
	for app, offers := range d.batch {
		d.tell(d.apps[app], offers, now)
	}
	return nil
}

// One takes one record, handled as it was received.
func (d *Day) One(r Record) error {
	received, err := time.Parse(timeForm, r.Headers["ce_time"])
	if err != nil {
		return fmt.Errorf("record %s/%d/%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return d.Batch([]Record{r}, received)
}

// record takes one record. Only the first of several that say the same has a row and a say.
func (d *Day) record(r *Record) error {
	said, reason := decode(r)
	if reason != "" {
		d.Dead[Place{r.Topic, r.Partition, r.Offset}] = reason
		return nil
	}
	received, err := time.Parse(timeForm, r.Headers["ce_time"])
	if err != nil {
		return fmt.Errorf("ce_time: %w", err)
	}
	number, err := strconv.ParseInt(r.Key, 10, 64)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	app := d.apps[number]
	if app == nil {
		return fmt.Errorf("app %d is nobody's", number)
	}
	id := alarmID(r, said, received)
	if known := d.Alarms[id]; known != nil {
		known.Deliveries++
		return nil
	}
	a := &alarm{id: id, body: said, at: received, source: "receipt", received: received}
	if vendor := time.UnixMilli(said.event).UTC(); said.event != 0 && vendor.Sub(received) <= 5*time.Minute {
		a.at, a.source = vendor, "vendor"
	}
	a.event = app.facts(r, a)
	d.batch[number] = append(d.batch[number], app.take(a)...)
	event, err := json.Marshal(a.event)
	if err != nil {
		return fmt.Errorf("alarm %s: %w", id, err)
	}
	d.Alarms[id] = &Alarm{Event: event, Deliveries: 1}
	return nil
}

// alarmID is the contract's: the time, then a hash of what the alarm says.
func alarmID(r *Record, said body, received time.Time) string {
	millis := said.event
	said5 := []string{r.Key, alarmCommand, strconv.FormatInt(said.event, 10), strconv.FormatInt(said.used, 10), strconv.FormatInt(said.quota, 10)}
	if millis == 0 {
		millis = received.UnixMilli()
		said5 = []string{r.Headers["ce_id"]}
	}
	var hashed []byte
	for _, text := range said5 {
		hashed = binary.BigEndian.AppendUint32(hashed, uint32(len(text))) //nolint:gosec // short texts
		hashed = append(hashed, text...)
	}
	sum := sha256.Sum256(hashed)
	return fmt.Sprintf("%012x", millis) + hex.EncodeToString(sum[:])[:20]
}

// facts returns the fields of an alarm's event that do not depend on what was before.
func (s *state) facts(r *Record, a *alarm) map[string]any {
	known := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	hundredths := (a.used*10_000 + a.quota/2) / a.quota
	return map[string]any{
		"alarm_id": a.id, "sdk_app_id": float64(s.ID), "app_name": known(s.Name), "owner": known(s.Owner), "tier": known(s.Tier),
		"site": known(s.Site), "registered": true, "command": alarmCommand,
		"quota_used": float64(a.used), "quota": float64(a.quota), "used_percent": float64(hundredths) / 100,
		"remaining": float64(max(0, a.quota-a.used)), "severity": names[s.rank(a)], "step_entered": false,
		"event_time": a.at.Format(timeForm), "event_time_source": a.source, "received_at": a.received.Format(timeForm),
		"period": s.date(a.at), "rate_per_hour": nil, "exhaustion_at": nil, "forecast_basis": "too_few",
		"late":      a.received.Sub(a.at) > 15*time.Minute,
		"client_ip": known(r.Headers["ce_clientip"]), "platform": known(r.Headers["ce_optplatform"]),
		"authenticated": r.Headers["ce_authenticated"], "callback_id": r.Headers["ce_id"],
		"raw_topic": r.Topic, "raw_partition": float64(r.Partition), "raw_offset": float64(r.Offset),
	}
}
