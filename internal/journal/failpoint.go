package journal

// FailpointVariable is the environment variable that says, for programs built with
// the tag failpoints, where the process is to kill itself: "NAME:N" is the N-th time
// that NAME is reached. Other programs do not read it.
const FailpointVariable = "INGOT_FAILPOINT"
