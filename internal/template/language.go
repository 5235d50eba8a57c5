package template

// Block describes a kind of block of the language, for help and editors.
type Block struct {
	// Type is what the block begins with.
	Type string
	// Labels are what stands behind it, each in quotes.
	Labels      []string
	Description string
	Arguments   []Argument
	// Blocks are the blocks inside it, other than those of a component.
	Blocks []Block
	// Repeated blocks may occur several times.
	Repeated bool
	// Component is the kind of component whose arguments and blocks the
	// block has besides; empty when it has none.
	Component string
	// Free says that the template chooses the names of the arguments.
	Free bool
}

// Argument describes an argument of a block.
type Argument struct {
	Name string
	// Type is the type as templates write it; "expression" is anything, and
	// "type" a type constraint.
	Type        string
	Description string
	Required    bool
	// Since is the version that first had it; empty for the first release.
	Since string
}

// Language describes all blocks that can stand in a template.
func Language() []Block {
	forEach := forEachArgument()
	return []Block{
		{
			Type: "packer", Repeated: true, Description: "What the template needs.",
			Arguments: []Argument{{Name: "required_version", Type: "string", Description: "The versions of Packer that the template is for, such as `>= 1.9, < 2`. It is checked before anything else."},
				{Name: "prefer_plugin", Type: "list(string)", Description: "The names of required plugins that are to be used although there is something built in for them. Not in Packer."}},
			Blocks: []Block{{
				Type: "required_plugins", Repeated: true, Free: true,
				Description: "The plugins that the template uses: for each name an object with `source` and `version`.",
			}},
		},
		{
			Type: "variable", Labels: []string{"name"}, Repeated: true,
			Description: "A value that is given from outside: `var.NAME`. In order of precedence, lowest first: default, environment (`PKR_VAR_NAME`), `*.auto.pkrvars.hcl`, `*.auto.pkrvars.json`, -var-file, -var.",
			Arguments: []Argument{
				{Name: "description", Type: "string", Description: "What the value is for."},
				{Name: "type", Type: "type", Description: "The type that values are converted to. Default: the type of the default."},
				{Name: "default", Type: "expression", Description: "The value when none is given. Only the function env can be used. Without it the variable has to be set."},
				{Name: "sensitive", Type: "bool", Description: "Hide the value, and what is computed from it, in all output. Default false."},
				{Name: "nullable", Type: "bool", Description: "With false, null stands for the default. Default true. Not in Packer."},
			},
			Blocks: []Block{{
				Type: "validation", Repeated: true, Description: "A rule for the value.",
				Arguments: []Argument{
					{Name: "condition", Type: "bool", Required: true, Description: "What has to be true. It can use the variable itself and functions."},
					{Name: "error_message", Type: "string", Required: true, Description: "What to say when it is not: a sentence that begins with a capital letter."},
				},
			}},
		},
		{Type: "variables", Repeated: true, Free: true, Description: "Variables in short: each argument is the name of a variable and its default."},
		{
			Type: "local", Labels: []string{"name"}, Repeated: true, Description: "A value that is computed: `local.NAME`. It is computed when it is first needed, and once.",
			Arguments: []Argument{
				{Name: "expression", Type: "expression", Required: true, Description: "The value."},
				{Name: "sensitive", Type: "bool", Description: "Hide the value, and what is computed from it, in all output. Default false."},
			},
		},
		{Type: "locals", Repeated: true, Free: true, Description: "Locals in short: each argument is the name of a local and its value."},
		{
			Type: "data", Labels: []string{"type", "name"}, Repeated: true, Component: "data-source",
			Description: "Reads something from outside: `data.TYPE.NAME`. validate, plan and inspect read it only when asked to.",
			Arguments:   []Argument{forEach},
		},
		{
			Type: "source", Labels: []string{"type", "name"}, Repeated: true, Component: "builder",
			Description: "The settings of a builder. Nothing is done with them until a build block uses them.",
			Arguments:   []Argument{forEach},
		},
		build(forEach),
		{
			Type: "module", Labels: []string{"name"}, Repeated: true, Free: true,
			Description: "Takes sources, groups of provisioners and outputs from another folder of templates; the other arguments are the module's variables. `module.NAME.OUTPUT` is an output. Not in Packer.",
			Arguments: []Argument{{
				Name: "source", Type: "string", Required: true,
				Description: "A folder, as in `./modules/base`, or a Git repository, as in `git::https://HOST/PATH.git//FOLDER?ref=v1`.",
			}},
		},
		{
			Type: "provisioners", Labels: []string{"name"}, Repeated: true,
			Description: "A group of provisioners that build blocks run by its name. Not in Packer.",
			Blocks: []Block{{
				Type: "provisioner", Labels: []string{"type"}, Repeated: true, Component: "provisioner",
				Description: "Changes the machine. Provisioners run in order.", Arguments: provisionerArguments(),
			}},
		},
		{
			Type: "output", Labels: []string{"name"}, Repeated: true,
			Description: "A value that a template has for those that use it as a module. Not in Packer.",
			Arguments: []Argument{
				{Name: "value", Type: "expression", Required: true, Description: "The value."},
				{Name: "description", Type: "string", Description: "What the value is for."},
				{Name: "sensitive", Type: "bool", Description: "Hide the value, and what is computed from it, in all output. Default false."},
			},
		},
		registryBlock(),
		{Type: "communicator", Labels: []string{"type", "name"}, Repeated: true, Free: true, Description: "Has no effect, as in Packer, and gets a warning: the arguments of the communicator belong into the source."},
	}
}

// forEachArgument is an argument that Packer does not have.
func forEachArgument() Argument {
	return Argument{
		Name: "for_each", Type: "expression",
		Description: "Makes one block for each element of a map, or of a list or set of strings; `each.key` and `each.value` are the element. Not in Packer.",
	}
}

// stepArguments are the meta-arguments of all steps.
func stepArguments() []Argument {
	return []Argument{
		{Name: "name", Type: "string", Description: "A label for output. -except knows a post-processor by it."},
		{Name: "only", Type: "list(string)", Description: "The sources of the build that the step is for, as `TYPE.NAME`. Default: all."},
		{Name: "except", Type: "list(string)", Description: "The sources of the build that the step is not for. Either only or except."},
	}
}

func provisionerArguments() []Argument {
	return append(stepArguments(),
		Argument{Name: "override", Type: "expression", Description: "Other arguments for single sources: an object with the names of sources (without their type), and for each an object with arguments."},
		Argument{Name: "pause_before", Type: "string", Description: "Time to wait first, such as `10s`."},
		Argument{Name: "timeout", Type: "string", Description: "Longest time for one attempt, such as `5m`; the pause does not count. Default: no limit."},
		Argument{Name: "max_retries", Type: "number", Description: "How many more attempts to make after a failed one. Default 0."},
		Argument{Name: "continue_on_error", Type: "bool", Description: "Report a failure and go on with the build. Default false."},
		Argument{Name: "cache", Type: "bool", Description: "With false, -cache never uses the result again, nor that of what follows. Default true. Not in Packer."},
		Argument{Name: "cache_ttl", Type: "string", Description: "With -cache, a result that is older than this, such as `24h`, is not used again. Default: no limit. Not in Packer."},
	)
}

func build(forEach Argument) Block {
	step, provisioner := stepArguments(), provisionerArguments()
	postProcessor := Block{
		Type: "post-processor", Labels: []string{"type"}, Repeated: true, Component: "post-processor",
		Description: "Does something with the artifact of the build.",
		Arguments: append(stepArguments(),
			Argument{Name: "keep_input_artifact", Type: "bool", Description: "Keep what came in. Default: what the post-processor does by itself."}),
	}
	chain := postProcessor
	chain.Description = "One post-processor of the chain; it works on the artifact of the one before."
	return Block{
		Type: "build", Repeated: true, Description: "Uses sources and says what is done with their machines and artifacts. Each source makes one build.",
		Arguments: []Argument{
			{Name: "name", Type: "string", Description: "Stands before the names of the builds: `NAME.TYPE.NAME`."},
			{Name: "description", Type: "string", Description: "What is built."},
			{Name: "sources", Type: "list(string)", Description: "The sources to use, as `source.TYPE.NAME` or `TYPE.NAME`."},
			forEach,
		},
		Blocks: []Block{
			{
				Type: "matrix", Free: true,
				Description: "Makes one build block for each combination of its lists: each argument is the name of a list and the list; `matrix.NAME` is the value. Not in Packer.",
				Arguments: []Argument{
					{Name: "exclude", Type: "expression", Description: "A list of objects: combinations that have all values of one of them are left out."},
					{Name: "include", Type: "expression", Description: "A list of objects, each with a value for every list: combinations to add."},
				},
			},
			{
				Type: "retry", Description: "Makes the whole build again, from a new machine, after a failure that may pass. Not in Packer.",
				Arguments: []Argument{
					{Name: "max_retries", Type: "number", Description: "How many more attempts to make. Default 1."},
					{Name: "delay", Type: "string", Description: "Time to wait before the second attempt, such as `30s`; it grows by half with each one. Default 10s."},
					{Name: "max_delay", Type: "string", Description: "Longest time to wait. Default 5m."},
					{Name: "on", Type: "list(string)", Description: "The failures after which to try again: `transient`, `throttled`, `capacity`; `any` is all that are not known to last. Default: the first three."},
				},
			},
			{
				Type: "source", Labels: []string{"reference"}, Repeated: true, Component: "builder",
				Description: "Uses a source, with arguments that the source block does not set.",
				Arguments:   []Argument{{Name: "name", Type: "string", Description: "Another name for the source in this build."}},
			},
			{
				Type: "provisioner", Labels: []string{"type"}, Repeated: true, Component: "provisioner",
				Description: "Changes the machine. Provisioners run in order.", Arguments: provisioner,
			},
			{
				Type: "provisioners", Labels: []string{"group"}, Repeated: true,
				Description: "Runs a group of provisioners at this place: `NAME` of this template, or `module.MODULE.NAME`. Not in Packer.",
				Arguments:   []Argument{step[1], step[2]},
			},
			{
				Type: "error-cleanup-provisioner", Labels: []string{"type"}, Component: "provisioner",
				Description: "Runs after a failure, while the machine is still connected.", Arguments: provisioner,
			},
			{
				Type: "test", Labels: []string{"name"}, Repeated: true,
				Description: "Starts the artifact of the build as a machine and runs provisioners on it as checks. Post-processors run only when all tests have succeeded. Not in Packer.",
				Arguments:   []Argument{step[1], step[2]},
				Blocks: []Block{{
					Type: "provisioner", Labels: []string{"type"}, Repeated: true, Component: "provisioner",
					Description: "One check: it fails when the provisioner does. The checks of a test run in order, up to the first that fails; with `continue_on_error` the others run all the same.", Arguments: provisioner,
				}},
			},
			postProcessor,
			{
				Type: "post-processors", Repeated: true, Blocks: []Block{chain},
				Description: "A chain of post-processors. Every chain begins with the artifact of the build.",
			},
			{
				Type: "dynamic", Labels: []string{"block"}, Repeated: true,
				Description: "Stands for blocks of the type that its label says, one for each element. It can be used in source and build blocks and in the blocks inside them.",
				Arguments: []Argument{
					{Name: "for_each", Type: "expression", Required: true, Description: "The list, map or set with the elements."},
					{Name: "iterator", Type: "expression", Description: "The name by which content knows the element. Default: the type of the block."},
					{Name: "labels", Type: "list(string)", Description: "The labels of the blocks."},
				},
				Blocks: []Block{{Type: "content", Free: true, Description: "The body of each block; `ITERATOR.key` and `ITERATOR.value` are the element."}},
			},
			registryBlock(),
			{Type: "from", Labels: []string{"name"}, Repeated: true, Free: true, Description: "Has no effect, as in Packer, and gets a warning."},
		},
	}
}

func registryBlock() Block {
	return Block{
		Type: "hcp_packer_registry", Description: "Settings for an HCP Packer registry. It is read and has no effect: nothing is published there.",
		Arguments: []Argument{
			{Name: "bucket_name", Type: "string", Description: "The name of the bucket."},
			{Name: "description", Type: "string", Description: "What the bucket holds."},
			{Name: "bucket_labels", Type: "map(string)", Description: "Labels of the bucket."},
			{Name: "labels", Type: "map(string)", Description: "The old name of bucket_labels."},
			{Name: "build_labels", Type: "map(string)", Description: "Labels of each build."},
			{Name: "channels", Type: "list(string)", Description: "The channels to assign."},
		},
	}
}
