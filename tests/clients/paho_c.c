// The Eclipse Paho C client against two brokers that are one: listens on A, publishes on B.
// Arguments: HOST:PORT HOST:PORT.
#include <MQTTClient.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1); \
		} \
	} while (0)
#define LIMIT 10000

static char at[2][100];
static int level; // 3, 4 or 5

static MQTTClient open_client(const char *name, int broker, int clean, const char *will, int *present)
{
	MQTTClient c;
	char id[64];
	snprintf(id, sizeof id, "c%d-%s", getpid(), name);
	MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
	create.MQTTVersion = level;
	CHECK(MQTTClient_createWithOptions(&c, at[broker], id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) == 0);
	MQTTClient_willOptions w = MQTTClient_willOptions_initializer;
	w.topicName = will;
	w.message = "gone";
	w.qos = 1;
	if (level == 5) {
		MQTTClient_connectOptions o = MQTTClient_connectOptions_initializer5;
		MQTTProperties p = MQTTProperties_initializer;
		MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = clean ? 0 : 600};
		MQTTProperties_add(&p, &expiry);
		o.cleanstart = clean;
		o.keepAliveInterval = 30;
		o.will = will ? &w : NULL;
		MQTTResponse r = MQTTClient_connect5(c, &o, &p, NULL);
		CHECK(r.reasonCode == MQTTREASONCODE_SUCCESS);
		if (present)
			*present = o.returned.sessionPresent;
		MQTTResponse_free(r);
		MQTTProperties_free(&p);
	} else {
		MQTTClient_connectOptions o = MQTTClient_connectOptions_initializer;
		o.MQTTVersion = level;
		o.cleansession = clean;
		o.keepAliveInterval = 30;
		o.will = will ? &w : NULL;
		CHECK(MQTTClient_connect(c, &o) == 0);
		if (present)
			*present = o.returned.sessionPresent;
	}
	return c;
}

static void close_client(MQTTClient c)
{
	if (level == 5)
		MQTTClient_disconnect5(c, 1000, MQTTREASONCODE_SUCCESS, NULL);
	else
		MQTTClient_disconnect(c, 1000);
	MQTTClient_destroy(&c);
}

static void subscribe(MQTTClient c, const char *filter, int qos)
{
	if (level == 5) {
		MQTTResponse r = MQTTClient_subscribe5(c, filter, qos, NULL, NULL);
		CHECK((int)r.reasonCode == qos);
		MQTTResponse_free(r);
	} else
		CHECK(MQTTClient_subscribe(c, filter, qos) == 0);
}

static void publish(MQTTClient c, const char *topic, const char *text, int qos, int retained, MQTTProperties *props)
{
	MQTTClient_deliveryToken token;
	if (level == 5) {
		MQTTResponse r = MQTTClient_publish5(c, topic, strlen(text), text, qos, retained, props, &token);
		CHECK(r.reasonCode == MQTTREASONCODE_SUCCESS);
		MQTTResponse_free(r);
	} else
		CHECK(MQTTClient_publish(c, topic, strlen(text), text, qos, retained, &token) == 0);
	if (qos > 0)
		CHECK(MQTTClient_waitForCompletion(c, token, LIMIT) == 0);
}

// The next message within the limit, which the caller frees; NULL when none came.
static MQTTClient_message *next(MQTTClient c, char **topic, int limit)
{
	MQTTClient_message *m = NULL;
	int length;
	MQTTClient_receive(c, topic, &length, &m, limit);
	return m;
}

// The next message is this one.
static void expect(MQTTClient c, const char *topic, const char *text, int qos, int retained)
{
	char *t = NULL;
	MQTTClient_message *m = next(c, &t, LIMIT);
	CHECK(m != NULL);
	if (m->payloadlen == 8 && !memcmp(m->payload, "is ready", 8)) { // its PUBACK may not have been through before the end
		MQTTClient_freeMessage(&m);
		MQTTClient_free(t);
		m = next(c, &t, LIMIT);
		CHECK(m != NULL);
	}
	if (strcmp(t, topic) || (size_t)m->payloadlen != strlen(text) || memcmp(m->payload, text, m->payloadlen))
		fprintf(stderr, "got %s %.*s, not %s %s\n", t, m->payloadlen, (char *)m->payload, topic, text), exit(1);
	CHECK(m->qos == qos && m->retained == retained);
	MQTTClient_freeMessage(&m);
	MQTTClient_free(t);
}

// A subscription is seen on the other node some milliseconds after its SUBACK.
static void ready(MQTTClient listener, MQTTClient publisher, const char *topic)
{
	char *t;
	MQTTClient_message *m = NULL;
	for (int i = 0; i < 200 && !m; i++) {
		publish(publisher, topic, "ready", 0, 0, NULL);
		m = next(listener, &t, 50);
	}
	CHECK(m != NULL);
	publish(publisher, topic, "is ready", 1, 0, NULL);
	while (memcmp(m->payload, "is ready", m->payloadlen)) {
		MQTTClient_freeMessage(&m);
		MQTTClient_free(t);
		m = next(listener, &t, LIMIT);
		CHECK(m != NULL);
	}
	MQTTClient_freeMessage(&m);
	MQTTClient_free(t);
}

static void story(void)
{
	char topic[100], all[110], other[110], text[20];
	int present = 0;
	snprintf(topic, sizeof topic, "c%d/%d", getpid(), level);
	snprintf(all, sizeof all, "%s/#", topic);
	MQTTClient listener = open_client("listener", 0, 1, NULL, NULL);
	MQTTClient publisher = open_client("publisher", 1, 1, NULL, NULL);
	subscribe(listener, all, 2);
	snprintf(other, sizeof other, "%s/ready", topic);
	ready(listener, publisher, other);

	snprintf(other, sizeof other, "%s/m", topic);
	for (int qos = 0; qos < 3; qos++) {
		for (int i = 0; i < 5; i++) {
			snprintf(text, sizeof text, "%d-%d", qos, i);
			publish(publisher, other, text, qos, 0, NULL);
		}
		for (int i = 0; i < 5; i++) {
			snprintf(text, sizeof text, "%d-%d", qos, i);
			expect(listener, other, text, qos, 0);
		}
	}
	printf("%d: QoS 0, 1, 2\n", level);

	snprintf(other, sizeof other, "%s/r", topic);
	publish(publisher, other, "kept", 1, 1, NULL);
	expect(listener, other, "kept", 1, 0);
	MQTTClient late = open_client("late", 0, 1, NULL, NULL);
	subscribe(late, other, 1);
	expect(late, other, "kept", 1, 1);
	close_client(late);
	publish(publisher, other, "", 1, 1, NULL);
	expect(listener, other, "", 1, 0);
	printf("%d: retained\n", level);

	snprintf(other, sizeof other, "%s-q", topic);
	MQTTClient kept = open_client("kept", 0, 0, NULL, NULL);
	subscribe(kept, other, 1);
	ready(kept, publisher, other);
	close_client(kept);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof text, "%d", i);
		publish(publisher, other, text, 1, 0, NULL);
	}
	kept = open_client("kept", 1, 0, NULL, &present); // on the other broker
	CHECK(present || level != 4); // 3.1 has no such flag; for 5.0 the library does not tell
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof text, "%d", i);
		expect(kept, other, text, 1, 0);
	}
	close_client(kept);
	close_client(open_client("kept", 1, 1, NULL, NULL));
	printf("%d: persistent session\n", level);
	fflush(stdout);

	// Who dies without a word is another process.
	snprintf(other, sizeof other, "%s/will", topic);
	pid_t child = fork();
	if (child == 0) {
		open_client("dying", 1, 1, other, NULL);
		raise(SIGKILL);
	}
	waitpid(child, NULL, 0);
	expect(listener, other, "gone", 1, 0);
	printf("%d: will\n", level);
	close_client(listener);
	close_client(publisher);
}

static void request(void)
{
	char ask[50], answer[50], *t;
	snprintf(ask, sizeof ask, "c%d/ask", getpid());
	snprintf(answer, sizeof answer, "c%d/answer", getpid());
	MQTTClient asker = open_client("asker", 0, 1, NULL, NULL), server = open_client("server", 1, 1, NULL, NULL);
	subscribe(asker, answer, 1);
	subscribe(server, ask, 1);
	ready(asker, server, answer);
	ready(server, asker, ask);
	MQTTProperties p = MQTTProperties_initializer;
	MQTTProperty to = {.identifier = MQTTPROPERTY_CODE_RESPONSE_TOPIC, .value.data = {strlen(answer), answer}};
	MQTTProperty id = {.identifier = MQTTPROPERTY_CODE_CORRELATION_DATA, .value.data = {3, "\0c1"}};
	MQTTProperties_add(&p, &to);
	MQTTProperties_add(&p, &id);
	publish(asker, ask, "question", 1, 0, &p);
	MQTTClient_message *m = next(server, &t, LIMIT);
	CHECK(m != NULL);
	MQTTProperty *got = MQTTProperties_getProperty(&m->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);
	CHECK(got && got->value.data.len == 3 && !memcmp(got->value.data.data, "\0c1", 3));
	MQTTProperty *back = MQTTProperties_getProperty(&m->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC);
	CHECK(back && (size_t)back->value.data.len == strlen(answer) && !memcmp(back->value.data.data, answer, strlen(answer)));
	publish(server, answer, "the answer", 1, 0, NULL);
	expect(asker, answer, "the answer", 1, 0);
	MQTTClient_freeMessage(&m);
	MQTTClient_free(t);
	MQTTProperties_free(&p);
	close_client(asker);
	close_client(server);
	printf("5: request and response\n");
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	for (int i = 0; i < 2; i++)
		snprintf(at[i], sizeof at[i], "tcp://%s", argv[i + 1]);
	for (level = 3; level <= 5; level++)
		story();
	level = 5;
	request();
	return 0;
}
