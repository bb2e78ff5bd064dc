//! Calls of librdkafka that rdkafka does not offer. All `unsafe` of this crate is here.
//!
//! Two reasons: an end-of-partition event of rdkafka does not say which topic and offset it is
//! about, and its flush can stand still for 100 ms. Polling without it also saves an allocation
//! per record.
#![allow(unsafe_code, reason = "each block says why it is sound")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer as _, ProducerContext, ThreadedProducer};
use record::log::{GroupMember, TopicInfo};
use record::{NextOffset, TopicPartition};

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// Waits until a producer's records are acknowledged or `timeout` is over; whether they are.
/// rdkafka's own flush polls a queue that its thread empties, and stands still for up to 100 ms.
pub(crate) fn flush<C: ProducerContext>(producer: &ThreadedProducer<C>, timeout: Duration) -> bool {
    // SAFETY: the client lives as long as the borrowed producer; the call is thread-safe.
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), millis(timeout)) };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// What a poll found.
pub(crate) enum Event<'a> {
    Message(Message<'a>),
    End {
        at: TopicPartition,
        next: NextOffset,
    },
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    Error {
        code: RDKafkaErrorCode,
        fatal: bool,
        what: String,
        at: Option<TopicPartition>,
    },
    Other,
}

/// The queue of a consumer.
pub(crate) struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread; this one is used by one at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of a consumer with a group id. It must not outlive the consumer: both are fields
    /// of one struct, the queue before the consumer.
    pub(crate) fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) }).map(Self)
    }

    /// Waits up to `timeout` for one event, and gives it to `with`.
    pub(crate) fn poll<T>(&mut self, timeout: Duration, with: impl FnOnce(Event<'_>) -> T) -> Option<T> {
        // SAFETY: the queue is alive; the event belongs to us until it is destroyed.
        let event = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0.as_ptr(), millis(timeout)) })?;
        let event = OwnedEvent(event);
        Some(with(event.read()))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this is the only use of the reference that `of` got.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

struct OwnedEvent(NonNull<sys::rd_kafka_event_t>);

impl Drop for OwnedEvent {
    fn drop(&mut self) {
        // SAFETY: the event is ours and nothing borrowed from it lives on.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

impl OwnedEvent {
    fn read(&self) -> Event<'_> {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive for all calls below; each pointer that a call returns is
        // checked for null and lives as long as the event, unless said otherwise.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_FETCH => match sys::rd_kafka_event_message_next(event).as_ref() {
                    Some(message) => Event::Message(Message(message)),
                    None => Event::Other,
                },
                sys::RD_KAFKA_EVENT_REBALANCE => {
                    let places = places(sys::rd_kafka_event_topic_partition_list(event));
                    let code = sys::rd_kafka_event_error(event);
                    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
                        Event::Assign(places)
                    } else {
                        Event::Revoke(places)
                    }
                }
                sys::RD_KAFKA_EVENT_ERROR => {
                    let code = sys::rd_kafka_event_error(event);
                    let at = owned_place(sys::rd_kafka_event_topic_partition(event));
                    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF
                        && let Some((at, offset)) = at
                    {
                        return Event::End {
                            at,
                            next: NextOffset(offset),
                        };
                    }
                    Event::Error {
                        code: code.into(),
                        fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                        what: text(sys::rd_kafka_event_error_string(event)),
                        at: at.map(|(at, _)| at),
                    }
                }
                _ => Event::Other,
            }
        }
    }
}

/// # Safety
/// `list` is null or a list that is alive during the call.
unsafe fn places(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<TopicPartition> {
    // SAFETY: the caller's promise; `elems` holds `cnt` elements, each with a topic name.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        (0..usize::try_from(list.cnt).unwrap_or(0))
            .map(|i| {
                let element = &*list.elems.add(i);
                TopicPartition::new(text(element.topic), u32::try_from(element.partition).unwrap_or(0))
            })
            .collect()
    }
}

/// # Safety
/// `place` is null or ours to destroy.
unsafe fn owned_place(place: *mut sys::rd_kafka_topic_partition_t) -> Option<(TopicPartition, i64)> {
    // SAFETY: the caller's promise; it is destroyed once, after its fields were copied.
    unsafe {
        let element = place.as_ref()?;
        let at = TopicPartition::new(text(element.topic), u32::try_from(element.partition).unwrap_or(0));
        let offset = element.offset;
        sys::rd_kafka_topic_partition_destroy(place);
        Some((at, offset))
    }
}

/// # Safety
/// `text` is null or a terminated string that is alive during the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A record in librdkafka's memory.
pub(crate) struct Message<'a>(&'a sys::rd_kafka_message_t);

impl Message<'_> {
    /// Tells topics apart without looking at their names: equal for records of one topic, for as
    /// long as the consumer lives.
    pub(crate) fn topic_address(&self) -> usize {
        self.0.rkt as usize
    }

    pub(crate) fn topic(&self) -> String {
        // SAFETY: the message's topic handle is alive as long as the message.
        unsafe { text(sys::rd_kafka_topic_name(self.0.rkt)) }
    }

    pub(crate) fn partition(&self) -> u32 {
        u32::try_from(self.0.partition).unwrap_or(0)
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: see `bytes`.
        unsafe { bytes(self.0.key.cast(), self.0.key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        // SAFETY: see `bytes`.
        unsafe { bytes(self.0.payload.cast(), self.0.len) }
    }

    /// -1 for none.
    pub(crate) fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; the type of the timestamp is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.0, std::ptr::null_mut()) }
    }

    pub(crate) fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive and so are its headers, names and values; nothing of it
        // outlives the loop.
        unsafe {
            let code = sys::rd_kafka_message_headers(self.0, &mut headers);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let mut name = std::ptr::null();
                let mut value = std::ptr::null();
                let mut size = 0;
                let code = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return;
                }
                each(CStr::from_ptr(name).to_bytes(), bytes(value.cast(), size));
            }
        }
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that live as long as the caller says with `'a`.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data, len) })
}

/// The id and partition count of topics, `None` where there is no such topic; an error code and
/// sentence when the request itself failed.
pub(crate) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<TopicInfo>>, (RDKafkaErrorCode, String)> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let rk = client.native_ptr();
    // SAFETY: the client and the names are alive during all calls; what each call creates is
    // destroyed once, after its last use; results are copied before their event is destroyed.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut message = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), message.as_mut_ptr(), message.len());
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout + Duration::from_secs(1)));
        let outcome = read_descriptions(event, &names);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        outcome
    }
}

/// # Safety
/// `event` is null or alive during the call.
unsafe fn read_descriptions(
    event: *mut sys::rd_kafka_event_t,
    names: &[CString],
) -> Result<Vec<Option<TopicInfo>>, (RDKafkaErrorCode, String)> {
    // SAFETY: the caller's promise; all that is read belongs to the event and is copied.
    unsafe {
        if event.is_null() {
            return Err((RDKafkaErrorCode::OperationTimedOut, "no answer in time".to_owned()));
        }
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err((code.into(), text(sys::rd_kafka_event_error_string(event))));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err((RDKafkaErrorCode::BadMessage, "an answer of another kind".to_owned()));
        }
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut found: HashMap<String, TopicInfo> = HashMap::new();
        for i in 0..count {
            let description = *descriptions.add(i);
            let name = text(sys::rd_kafka_TopicDescription_name(description));
            let error = sys::rd_kafka_TopicDescription_error(description);
            let code = if error.is_null() {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            } else {
                sys::rd_kafka_error_code(error)
            };
            if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART {
                continue;
            }
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err((
                    code.into(),
                    format!("topic `{name}`: {}", text(sys::rd_kafka_error_string(error))),
                ));
            }
            let mut partitions = 0;
            sys::rd_kafka_TopicDescription_partitions(description, &mut partitions);
            let id = text(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(
                description,
            )));
            let partitions = u32::try_from(partitions).unwrap_or(0);
            found.insert(name, TopicInfo { id, partitions });
        }
        Ok(names
            .iter()
            .map(|name| found.remove(&*name.to_string_lossy()))
            .collect())
    }
}

/// The members of a consumer group, of either protocol; none where there is no such group. An error code and sentence
/// when the request itself failed. rdkafka's list of groups does not see members of the newer protocol (KIP-848).
pub(crate) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<Vec<GroupMember>, (RDKafkaErrorCode, String)> {
    let Ok(name) = CString::new(group) else {
        return Ok(Vec::new());
    };
    let mut names = [name.as_ptr()];
    let rk = client.native_ptr();
    // SAFETY: the client and the name are alive during all calls; what each call creates is
    // destroyed once, after its last use; results are copied before their event is destroyed.
    unsafe {
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(rk, kind);
        let mut message = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), message.as_mut_ptr(), message.len());
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_DescribeConsumerGroups(rk, names.as_mut_ptr(), names.len(), options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout + Duration::from_secs(1)));
        let outcome = read_members(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        outcome
    }
}

/// # Safety
/// `event` is null or alive during the call.
unsafe fn read_members(event: *mut sys::rd_kafka_event_t) -> Result<Vec<GroupMember>, (RDKafkaErrorCode, String)> {
    // SAFETY: the caller's promise; all that is read belongs to the event and is copied.
    unsafe {
        if event.is_null() {
            return Err((RDKafkaErrorCode::OperationTimedOut, "no answer in time".to_owned()));
        }
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err((code.into(), text(sys::rd_kafka_event_error_string(event))));
        }
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err((RDKafkaErrorCode::BadMessage, "an answer of another kind".to_owned()));
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        let mut members = Vec::new();
        for i in 0..count {
            let group = *groups.add(i);
            let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
            if !error.is_null() {
                let code = sys::rd_kafka_error_code(error);
                if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND {
                    continue;
                }
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err((code.into(), text(sys::rd_kafka_error_string(error))));
                }
            }
            for member in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
                let member = sys::rd_kafka_ConsumerGroupDescription_member(group, member);
                let host = text(sys::rd_kafka_MemberDescription_host(member));
                members.push(GroupMember {
                    client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                    host: host.trim_start_matches('/').to_owned(),
                });
            }
        }
        Ok(members)
    }
}
