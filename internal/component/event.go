package component

import (
	"time"

	"ingot/internal/addr"
)

// Event is one thing that happened in a run. The set is closed: sinks switch
// over all of them. docs/events.md describes their JSON form.
type Event interface{ event() }

// Sink receives events. It may be called from several goroutines and does
// not block for long.
type Sink interface{ Emit(Event) }

// SinkFunc adapts a function to Sink.
type SinkFunc func(Event)

// Emit calls f.
func (f SinkFunc) Emit(e Event) { f(e) }

// Origin says which build and which step an event belongs to; zero parts
// mean the run or the build as a whole.
type Origin struct {
	Build addr.Build
	Step  addr.Step
}

// Stamped is an event with its origin and time, as sinks of a whole run see it.
type Stamped struct {
	Origin
	// At carries a monotonic reading; Since is measured from the run's start.
	At    time.Time
	Since time.Duration
	Event Event
}

// The phases of a build, in order.
type Phase string

const (
	PhasePrepare     Phase = "prepare"
	PhaseBoot        Phase = "boot"
	PhaseConnect     Phase = "connect"
	PhaseProvision   Phase = "provision"
	PhaseCapture     Phase = "capture"
	PhaseTest        Phase = "test"
	PhasePostProcess Phase = "post-process"
	PhaseRelease     Phase = "release"
)

// Stream tells standard output from standard error.
type Stream uint8

// The streams.
const (
	Stdout Stream = iota + 1
	Stderr
)

// WaitStage is one stage of a wait.
type WaitStage struct {
	Name string
	// Took is the time from when it was first waited for to when the next
	// stage was, or to the end.
	Took  time.Duration
	State StageState
}

// StageState is what became of a stage.
type StageState string

// The states.
const (
	// StagePassed: it came true.
	StagePassed StageState = "passed"
	// StageFailed: it is the one that was waited for when the wait ended.
	StageFailed StageState = "failed"
	// StagePending: it was not seen to come true.
	StagePending StageState = "pending"
)

type (
	// RunStarted opens a run.
	RunStarted struct {
		RunID  string
		Builds []addr.Build
	}
	// RunEnded closes a run. Interrupted says why it was cancelled, "" if it was
	// not.
	RunEnded struct {
		Duration    time.Duration
		Failed      int
		Interrupted string
	}
	// BuildStarted opens a build.
	BuildStarted struct{}
	// BuildEnded closes a build. Earlier is the run that has made the artifacts,
	// when this one had only to find that they are there; "" otherwise.
	BuildEnded struct {
		Duration  time.Duration
		Err       error
		Artifacts []*Artifact
		Earlier   string
	}
	// PhaseStarted and PhaseEnded enclose a phase of a build. There is a phase for
	// each test, whose name is Test; it is empty for other phases.
	PhaseStarted struct {
		Phase Phase
		Test  string
	}
	// PhaseEnded closes a phase.
	PhaseEnded struct {
		Phase    Phase
		Test     string
		Duration time.Duration
		Err      error
	}
	// StepStarted opens a provisioner or post-processor; Origin.Step says
	// which.
	StepStarted struct{}
	// StepEnded closes it. Tolerated means that the error was turned into a
	// message by continue_on_error.
	StepEnded struct {
		Duration  time.Duration
		Err       error
		Attempts  int
		Tolerated bool
	}
	// StepSkipped stands in place of StepStarted and StepEnded of a provisioner
	// that does not run because the machine is what it would make of it.
	StepSkipped struct{ Reason string }
	// CacheChecked says whether the result of a provisioner was there to be used
	// again, and if not, why. It is emitted only when that was asked for.
	CacheChecked struct {
		Hit bool
		Why string
	}
	// Message is a line of text for the user.
	Message struct{ Text string }
	// Problem is text for the user about something that went wrong.
	Problem struct{ Text string }
	// Trace is what only those want to know who look for the cause of
	// something, such as a request to a server of ours. It is in the log and
	// in the stream of events, not on the screen.
	Trace struct{ Text string }
	// Warning is something the user should know but that stops nothing.
	Warning struct{ Summary, Detail string }
	// Output is one line that a command printed, without its line end.
	Output struct {
		Stream Stream
		Line   string
	}
	// Progress is how far a transfer has come. ID tells transfers of one
	// step apart; Total is -1 when not known; the last one has Finished.
	Progress struct {
		ID       string
		Label    string
		Done     int64
		Total    int64
		Finished bool
	}
	// Waiting says what a build waits for, and since when.
	Waiting struct {
		// For is the stage: "tcp 10.0.0.1:22", "ssh authentication".
		For string
		// Detail is what was seen last, such as "connection refused".
		Detail  string
		Elapsed time.Duration
	}
	// WaitEnded says how the waiting for a machine ended.
	WaitEnded struct {
		// For is what was waited for: "SSH at 10.0.0.1:22".
		For string
		// Elapsed is the whole time; Attempts is how often it was tried.
		Elapsed  time.Duration
		Attempts int
		// Stages are in order; their times add up to Elapsed.
		Stages []WaitStage
		// Err is nil when the machine can be used, else why the stage that
		// failed did not come true.
		Err error
	}
	// Retrying says that something failed and will be tried again.
	Retrying struct {
		What    string
		Class   string
		Attempt int
		Delay   time.Duration
		Err     error
	}
	// ResourceHeld: something that outlives the process now exists.
	ResourceHeld struct{ Resource Resource }
	// ResourceReleased: it was removed, or could not be.
	ResourceReleased struct {
		Resource Resource
		Err      error
	}
	// ResourceKept: it now belongs to an artifact or the user.
	ResourceKept struct{ Resource Resource }
	// ArtifactMade: a builder or post-processor has made an artifact.
	ArtifactMade struct{ Artifact *Artifact }
)

func (RunStarted) event()       {}
func (RunEnded) event()         {}
func (BuildStarted) event()     {}
func (BuildEnded) event()       {}
func (PhaseStarted) event()     {}
func (PhaseEnded) event()       {}
func (StepStarted) event()      {}
func (StepEnded) event()        {}
func (StepSkipped) event()      {}
func (CacheChecked) event()     {}
func (Message) event()          {}
func (Problem) event()          {}
func (Trace) event()            {}
func (Warning) event()          {}
func (Output) event()           {}
func (Progress) event()         {}
func (Waiting) event()          {}
func (WaitEnded) event()        {}
func (Retrying) event()         {}
func (ResourceHeld) event()     {}
func (ResourceReleased) event() {}
func (ResourceKept) event()     {}
func (ArtifactMade) event()     {}
