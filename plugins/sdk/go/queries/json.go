package queries

import "wasmill"

// JSON answers a value as JSON, by `json` tags. It links the JSON library's reflection, which makes a component
// 2 MB larger.
func JSON[T any](value T) (Answer, error) {
	body, err := wasmill.JSON[T]().Append(nil, value)
	if err != nil {
		return Answer{}, err
	}
	return Bytes("application/json", body), nil
}
