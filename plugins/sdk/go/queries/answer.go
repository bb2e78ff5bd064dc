package queries

// Answer is an HTTP status and a body.
type Answer struct {
	// Status is 200 to 599; 0 stands for 200.
	Status int
	// ContentType is the media type of the body.
	ContentType string
	// Body is any bytes.
	Body []byte
}

// Text answers plain text.
func Text(text string) Answer { return Bytes("text/plain; charset=utf-8", []byte(text)) }

// Bytes answers bytes of a media type. JSON that the plugin has written itself is one of
// "application/json".
func Bytes(contentType string, body []byte) Answer {
	return Answer{Status: 200, ContentType: contentType, Body: body}
}

// NotFound answers that there is no such thing (404), with a sentence for people.
func NotFound(what string) Answer { return Text(what).WithStatus(404) }

// BadRequest answers that the question is wrong (400), with a sentence for people.
func BadRequest(what string) Answer { return Text(what).WithStatus(400) }

// WithStatus answers the same with another status.
func (a Answer) WithStatus(status int) Answer {
	a.Status = status
	return a
}
