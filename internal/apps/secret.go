package apps

// Secrets reads secrets of other files than the apps file that are written as its tokens
// are: file:PATH, env:NAME or, for trying out, plain:TEXT. It is for one reading of one file
// and one goroutine; package reload is told of Files.
type Secrets struct{ resolve *resolver }

// NewSecrets returns Secrets that resolve as o says.
func NewSecrets(o Options) *Secrets { return &Secrets{newResolver(o)} }

// Read returns the secret that text names. Errors: ErrTokenForm, ErrTokenUnset, ErrTokenEmpty
// and that of reading the file; none says what the secret is.
func (s *Secrets) Read(text string) (Token, error) { return s.resolve.token(text) }

// Files returns the files that were named so far, each once.
func (s *Secrets) Files() []string { return s.resolve.files }
