-- Builds the environment of scripts, or of functions, around what Rust provides. It runs once, when an engine starts, with the full library.
--
-- Scripts see protected tables only: empty tables whose metatable forwards reads to the real table and refuses writes. Functions that could
-- pass a protection by (rawset, setmetatable, next, ...) are replaced by ones that know of it. (Redis changes the interpreter instead.)
local raw = ...

local error, type, next, rawset, rawget, rawequal = error, type, next, rawset, rawget, rawequal
local setmetatable, getmetatable, tostring, tonumber, pcall, xpcall, select = setmetatable, getmetatable, tostring, tonumber, pcall, xpcall, select
local unpack, loadstring, load, getinfo, collectgarbage = unpack, loadstring, load, debug.getinfo, collectgarbage
local floor = math.floor
local READONLY = "Attempt to modify a readonly table"
local SOURCE = "=ochre"

-- From a protected table to the real one.
local behind = setmetatable({}, { __mode = "k" })
-- All protected tables.
local protected = {}

local function refuse_write()
  error(READONLY, 2)
end

local function protect(real, missing)
  local shown = {}
  behind[shown] = real
  protected[#protected + 1] = shown
  if missing then
    rawset(getmetatable(real) or getmetatable(setmetatable(real, {})), "__index", missing)
  end
  return setmetatable(shown, { __index = real, __newindex = refuse_write })
end

-- Each makes a C function that calls a function and raises the error that this returns. Lua keeps the frame of the caller of a C function
-- even in `return f()`, so the error names the caller's line. `wrap` is for functions that return true and their results, or false and a
-- text; `wrap_table` for those that return false and their results, or true and an error of any kind, which is raised as it is.
local wrap, wrap_table = raw.wrap, raw.wrap_table

local function wrap_all(functions)
  local wrapped = {}
  for name, f in next, functions do
    wrapped[name] = type(f) == "function" and wrap(f) or f
  end
  return wrapped
end

local function error_table(text)
  return { err = "ERR " .. text }
end

local redis = {}
for name, f in next, raw.redis do
  redis[name] = type(f) == "function" and wrap_table(f) or f
end

redis.call, redis.pcall = raw.call, raw.pcall
if not raw.is_for_functions then
  redis.breakpoint = function()
    return false
  end
  redis.debug = function() end
  redis.replicate_commands = function()
    return true
  end
end

local string_library = {}
for name, f in next, string do
  string_library[name] = f
end
-- Nothing may be compiled to bytecode or loaded from it.
string_library.dump = function()
  error("unable to dump given function", 2)
end

local function copy(library, names)
  local copied = {}
  for name in names:gmatch("%S+") do
    copied[name] = library[name]
  end
  return copied
end

local math_library = copy(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod "
  .. "modf pi pow rad sin sinh sqrt tan tanh")
math_library.random = wrap(raw.random)
math_library.randomseed = wrap(raw.randomseed)

local libraries = {
  redis = redis,
  server = redis,
  cjson = wrap_all(raw.cjson),
  cmsgpack = wrap_all(raw.cmsgpack),
  struct = wrap_all(raw.struct),
  bit = wrap_all(raw.bit),
  string = string_library,
  table = copy(table, "concat foreach foreachi getn insert maxn remove setn sort"),
  math = math_library,
  os = { clock = os.clock },
  coroutine = copy(coroutine, "create resume running status wrap yield"),
}

-- `cjson.new` returns an instance with settings of its own.
local function new_cjson()
  local instance = wrap_all(raw.new_cjson())
  instance.new = new_cjson
  return instance
end
libraries.cjson.new = new_cjson

local globals = { _VERSION = _VERSION }
for name, library in next, libraries do
  globals[name] = protect(library)
end
globals.server = globals.redis

for name in ("assert error gcinfo ipairs rawequal select tonumber tostring type xpcall"):gmatch("%S+") do
  globals[name] = _G[name]
end

-- As in Redis, a caught error of a command is its text rather than a table.
local function settle(ok, result, ...)
  if not ok and type(result) == "table" and type(rawget(result, "err")) == "string" then
    return false, rawget(result, "err")
  end
  return ok, result, ...
end
globals.pcall = function(...)
  return settle(pcall(...))
end

-- Strings find their methods behind the metatable, of which scripts see a protected copy.
local string_metatable = getmetatable("")
string_metatable.__index = string_library
local shown_string_metatable = protect({ __index = globals.string })

local function real(value)
  return behind[value] or value
end

local function check_table(value, position, name)
  if type(value) ~= "table" then
    local got = value == nil and "nil" or type(value)
    error("bad argument #" .. position .. " to '" .. name .. "' (table expected, got " .. got .. ")", 3)
  end
end

globals.next = function(t, key)
  check_table(t, 1, "next")
  return next(real(t), key)
end
local shown_next = globals.next
globals.pairs = function(t)
  check_table(t, 1, "pairs")
  return behind[t] and shown_next or next, t, nil
end
globals.rawget = function(t, key)
  check_table(t, 1, "rawget")
  return rawget(real(t), key)
end
globals.rawset = function(t, key, value)
  check_table(t, 1, "rawset")
  if behind[t] then
    error(READONLY, 0)
  end
  return rawset(t, key, value)
end
globals.setmetatable = function(t, metatable)
  check_table(t, 1, "setmetatable")
  if behind[t] then
    error(READONLY, 0)
  end
  if metatable ~= nil and type(metatable) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  return setmetatable(t, metatable)
end
globals.getmetatable = function(value)
  if type(value) == "string" then
    return shown_string_metatable
  end
  if behind[value] or type(value) == "userdata" then
    return nil
  end
  return getmetatable(value)
end
globals.unpack = wrap(function(t, first, last)
  if type(t) ~= "table" then
    return false, "bad argument #1 to 'unpack' (table expected, got " .. (t == nil and "no value" or type(t)) .. ")"
  end
  t = real(t)
  first, last = tonumber(first or 1), tonumber(last or #t)
  if not first or not last then
    return false, "bad argument #" .. (first and 3 or 2) .. " to 'unpack' (number expected)"
  end
  if last - first >= 7998 then
    return false, "too many results to unpack"
  end
  return true, unpack(t, first, last)
end)
-- Bytecode is refused: it is not checked, so it could reach any memory. The collector stands still while the text is parsed, since the
-- parser of Lua 5.1 does not keep the chunk's name alive.
local function compile(text, name)
  if text:byte(1) == 27 then
    return nil, "attempt to load chunk with wrong mode"
  end
  raw.stop_collector()
  local f, message = loadstring(text, name)
  raw.restart_collector()
  return f, message
end
globals.loadstring = function(text, name)
  if type(text) ~= "string" and type(text) ~= "number" then
    error("bad argument #1 to 'loadstring' (string expected, got " .. (text == nil and "no value" or type(text)) .. ")", 2)
  end
  text = tostring(text)
  return compile(text, name ~= nil and tostring(name) or text)
end
globals.load = function(reader, name)
  if type(reader) ~= "function" then
    error("bad argument #1 to 'load' (function expected, got " .. type(reader) .. ")", 2)
  end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then
      break
    end
    if type(part) ~= "string" then
      return nil, "reader function must return a string"
    end
    parts[#parts + 1] = part
  end
  return compile(table.concat(parts), name ~= nil and tostring(name) or "=(load)")
end
-- A script may not switch the collector off.
globals.collectgarbage = function(option, argument)
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return collectgarbage(option or "collect", argument)
  end
  if option == "stop" or option == "restart" or option == "setpause" or option == "setstepmul" then
    return 0
  end
  error("bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(option) .. "')", 2)
end

local function missing_global(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
local shown_globals = protect(globals, missing_global)
globals._G = shown_globals

-- The handler of an error that nothing in the script has caught. It adds where the error was raised.
local function on_error(err)
  if type(err) ~= "table" then
    err = error_table(tostring(err))
  end
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then
      break
    end
    if info.what ~= "C" and info.what ~= "tail" and info.source ~= SOURCE then
      if not behind[err] then
        rawset(err, "source", info.source)
        rawset(err, "line", info.currentline)
      end
      break
    end
    level = level + 1
  end
  return err
end
globals.__redis__err__handler = on_error

-- Functions such as `table.insert` store into a table without asking its metatable. What a script has so stored in a protected table goes with
-- the script, so that no other one meets it.
local function clean()
  getmetatable(shown_globals).__index = globals
  for i = 1, #protected do
    local shown = protected[i]
    while next(shown) ~= nil do
      rawset(shown, next(shown), nil)
    end
  end
end

if not raw.is_for_functions then
  return shown_globals, globals, on_error, protected, clean
end

-- The functions that the library being loaded has registered so far; nil while no library is being loaded.
local registered

-- As Redis does, takes a number where a text is asked for.
local function as_text(value)
  local kind = type(value)
  return (kind == "string" or kind == "number") and tostring(value) or nil
end

local function read_flags(given)
  local flags = {}
  for i = 1, #given do
    local flag = as_text(rawget(given, i))
    flag = flag and flag:lower()
    if not raw.flags[flag or ""] then
      return nil, "unknown flag given"
    end
    flags[#flags + 1] = flag
  end
  return flags
end

-- Reads the form with named arguments. Their names may have any case.
local function read_named(given)
  if type(given) ~= "table" then
    return nil, "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments)."
  end
  local found = { flags = {} }
  for key, value in next, real(given) do
    local name = as_text(key)
    if not name then
      return nil, "named argument key given to redis.register_function is not a string"
    end
    name = name:lower()
    if name == "function_name" or name == "description" then
      found[name] = as_text(value)
      if not found[name] then
        return nil, name .. " argument given to redis.register_function must be a string"
      end
    elseif name == "callback" then
      if type(value) ~= "function" then
        return nil, "callback argument given to redis.register_function must be a function"
      end
      found.callback = value
    elseif name == "flags" then
      if type(value) ~= "table" then
        return nil, "flags argument to redis.register_function must be a table representing function flags"
      end
      local flags, problem = read_flags(real(value))
      if not flags then
        return nil, problem
      end
      found.flags = flags
    else
      return nil, "unknown argument given to redis.register_function"
    end
  end
  if not found.function_name then
    return nil, "redis.register_function must get a function name argument"
  end
  if not found.callback then
    return nil, "redis.register_function must get a callback argument"
  end
  return found
end

local function read_registration(count, first, second)
  if count == 1 then
    return read_named(first)
  end
  if count ~= 2 then
    return nil, "wrong number of arguments to redis.register_function"
  end
  local name = as_text(first)
  if not name then
    return nil, "first argument to redis.register_function must be a string"
  end
  if type(second) ~= "function" then
    return nil, "second argument to redis.register_function must be a function"
  end
  return { function_name = name, callback = second, flags = {} }
end

local function register(...)
  if not registered then
    return true, error_table("redis.register_function can only be called on FUNCTION LOAD command")
  end
  local found, problem = read_registration(select("#", ...), ...)
  if not found then
    return true, error_table(problem)
  end
  local name = found.function_name
  if not name:find("^[%w_]+$") then
    return true, error_table("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
  end
  for i = 1, #registered do
    if registered[i].function_name:lower() == name:lower() then
      return true, error_table("Function already exists in the library")
    end
  end
  registered[#registered + 1] = found
  return false
end

-- While a library is loaded, it sees only what it needs to register functions, so that it cannot touch data.
local shown_while_loading = { register_function = wrap_table(register), log = redis.log }
for name, value in next, redis do
  if name:find("^LOG_") or name:find("_VERSION") then
    shown_while_loading[name] = value
  end
end
local protected_while_loading = protect(shown_while_loading, missing_global)
local globals_while_loading = setmetatable({ redis = protected_while_loading, server = protected_while_loading }, { __index = missing_global })

local function load_library(f)
  registered = {}
  getmetatable(shown_globals).__index = globals_while_loading
  local ended, result = xpcall(f, on_error)
  local functions = registered
  registered = nil
  clean()
  return ended, ended and functions or result
end

return shown_globals, globals, on_error, protected, clean, load_library
