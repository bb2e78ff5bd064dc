module word_split

go 1.26.0

require (
	github.com/go-json-experiment/json v0.0.0-20260820222146-c27c302e5fc3
	golang.org/x/text v0.43.0
	wasmill v0.0.0
)

replace wasmill => ../../sdk/go
