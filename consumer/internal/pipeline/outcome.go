package pipeline

// Outcome is what became of one record. A record has exactly one each time it is
// handled: label outcome of _records_total.
type Outcome uint8

// The outcomes.
const (
	outcomeNone        Outcome = iota // not decided yet; no record leaves with it
	OutcomeSaved                      // a new alarm: its row was saved, its event published
	OutcomeRepeated                   // another copy of a saved alarm: counted on its row, not published
	OutcomeRedelivered                // handled before: nothing is counted; the first copy's event is published again
	OutcomeDeadLetter                 // cannot be used: a row of dead_letter, a record of the dead letters' topic
	numOutcomes
)

var outcomeNames = [numOutcomes]string{
	outcomeNone:        "none",
	OutcomeSaved:       "saved",
	OutcomeRepeated:    "repeated",
	OutcomeRedelivered: "redelivered",
	OutcomeDeadLetter:  "dead_letter",
}

// String returns the outcome as it stands in metrics.
func (o Outcome) String() string {
	if o >= numOutcomes {
		return "unknown"
	}
	return outcomeNames[o]
}

// Stage is one of the five calls of Handle.
type Stage uint8

// The stages, in their order.
const (
	StageDecode Stage = iota
	StageLoad
	StageApply
	StageSave
	StagePublish
	numStages
)

var stageNames = [numStages]string{"decode", "load", "apply", "save", "publish"}

// String returns the stage's name.
func (s Stage) String() string {
	if s >= numStages {
		return "unknown"
	}
	return stageNames[s]
}
