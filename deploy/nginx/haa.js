// Asks the agents of a haa cluster where a new connection is to go. Decides nothing itself.

// The agent on this machine first, if there is one: api.listen of haad.
const AGENTS = ['http://10.0.0.1:8008', 'http://10.0.0.2:8008', 'http://10.0.0.3:8008'];

// Without a primary a new connection is held for so long; then it is closed.
const HOLD_MS = 10000;

// A question about the primary waits so long for one: less than js_fetch_timeout in haa.stream.conf, after which an agent
// that is gone is left alone. Nothing else may run beside a question: nginx lets a connection go on only when no timer
// and no question of its script is left.
const WAIT = '500ms';

function pause(ms) {
    return new Promise((done) => setTimeout(done, ms));
}

// The lines of an agent's answer; none if it cannot say.
async function ask(agent, path) {
    try {
        const reply = await ngx.fetch(agent + path);
        if (reply.status !== 200) {
            return [];
        }
        return (await reply.text()).split('\n').filter((line) => line !== '');
    } catch (error) {
        return [];
    }
}

async function lead(session, path) {
    const end = Date.now() + HOLD_MS;
    do {
        for (let i = 0; i < AGENTS.length; i++) {
            const servers = await ask(AGENTS[i], path);
            if (servers.length > 0) {
                session.variables.haa_server = servers[Math.floor(Math.random() * servers.length)];
                session.allow();
                return;
            }
        }
        await pause(50);
    } while (Date.now() < end);
    session.error('haa: nobody can be led to by ' + path);
    session.deny();
}

function primary(session) {
    return lead(session, '/routes/primary?format=hostport&wait=' + WAIT);
}

function reader(session) {
    return lead(session, '/routes/read?format=hostport');
}

export default { primary, reader };
