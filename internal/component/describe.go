package component

// Describer is implemented by a Job or a Transform that can say while planning
// what it will make.
type Describer interface {
	// Creates lists what will be made, in order. It may be called before
	// anything of the run exists.
	Creates() []Creation
}

// Creation is one thing that will be made.
type Creation struct {
	// Kind is what it is, as a noun in the singular that takes a plain "s":
	// "container", "image", "file".
	Kind string
	// Name is its name, path or address; empty when it has none or it is
	// not known yet.
	Name string
	// Fields, when it is not nil, says that Name is a text with template
	// actions, whose fields these are, besides BuildName and BuilderType.
	// Whoever shows the name renders it.
	Fields map[string]string
	// Temporary things are gone when the build has ended.
	Temporary bool
}

// Connector is implemented by a Job that knows while planning how its machine
// will be reached.
type Connector interface {
	// ConnectsBy is the name of the communicator, such as "ssh"; empty
	// when that is not known yet.
	ConnectsBy() string
}
